"""What may stand in params.yaml, and the reading of it; no torch here."""
