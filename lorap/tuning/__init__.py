"""LoRA recovery of a compressed model."""
