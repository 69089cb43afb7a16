"""Pure functions on tensors and integers: no files, no models, no settings."""
