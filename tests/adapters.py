"""Adapters that no training made: random matrices in peft's own form, with what a tuned one records."""

from pathlib import Path

import torch

from lorap.model.folder import load_model
from lorap.settings.schema import Tune
from lorap.tuning.lora import attach, save_adapter

TUNE = Tune(
    corpus="file", form="factored", rows=None, held_out=2, split_seed=42, cutoff=16, rank=4, alpha=8, dropout=0.0,
    learning_rate=1e-2, warmup_steps=1, epochs=1.0, max_steps=3, batch=4, micro_batch=4, evaluate_every=2,
    dtype="auto", gradient_checkpointing=False,
)  # fmt: skip


def random_adapter(model: Path, out: Path, seed: int = 0) -> Path:
    """The folder of an adapter whose every matrix is random, on all projections of a model."""
    torch.manual_seed(seed)
    tuned = attach(load_model(model), TUNE)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
    out.mkdir()
    save_adapter(tuned, model, out)
    return out
