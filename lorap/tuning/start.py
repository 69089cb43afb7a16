"""What a tuning run says of itself before its first step: how much work it is, and how much memory it may take."""

import sys
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lorap.machine.fit import GIB, Place, devices_of
from lorap.machine.free import free_memory


class Start(TrainerCallback):
    """One line on stderr when training begins; made before the model is loaded, since it says what is free then.

    Args:
        batch: Rows a step.
        place: Where the model is going to be.
        most: Bytes there that it may take, an upper bound.
        quiet: Say nothing.
    """

    def __init__(self, batch: int, place: Place, most: float, quiet: bool) -> None:
        self.batch, self.most, self.quiet = batch, most, quiet
        self.where = ", ".join(map(str, devices_of(place)))
        self.free = sum(map(free_memory, devices_of(place)))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Says it, once for all processes."""
        if self.quiet or not state.is_world_process_zero:
            return
        done = f", {state.global_step} of them done" if state.global_step else ""
        rows = len(kwargs["train_dataloader"].dataset)
        line = (
            f"lorap: tunes on {rows} rows in {state.max_steps} steps of {self.batch}{done}, on {self.where}: takes up "
            f"to {self.most / GIB:.1f} GiB there, {self.free / GIB:.1f} GiB are free"
        )
        if self.most > self.free:
            line += "; where it runs out, lower --micro-batch or add --gradient-checkpointing"
        if args.warmup_steps >= state.max_steps:
            line += "; the learning rate never gets out of its warm-up, lower --warmup-steps"
        print(line, file=sys.stderr, flush=True)
