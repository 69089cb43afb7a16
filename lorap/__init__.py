"""LoRAP: structured compression of LLaMA-family language models, as a reproducible workflow."""

__version__ = "0.1.0"
