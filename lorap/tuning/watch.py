"""Watching a run of the Trainer: a loss that diverges ends it, steps are timed, its log becomes the history."""

import math
import statistics
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lorap.errors import LorapError
from lorap.machine.meter import now, peak_memory, reset_peak_memory

UNSETTLED = 2  # first steps, in which memory is still being taken


class Watch(TrainerCallback):
    """Ends a run whose loss is not finite; measures seconds a step and the peak of memory while steps are made."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.peak = 0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Starts the clock of a step."""
        reset_peak_memory(args.device)
        self.started = now(args.device)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stops it."""
        self.seconds.append(now(args.device) - self.started)
        self.peak = max(self.peak, peak_memory(args.device))

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Looks at every loss."""
        for name in ("loss", "eval_loss"):
            loss = kwargs["logs"].get(name, 0.0)
            if not math.isfinite(loss):
                raise LorapError(f"step {state.global_step}: {name} is {loss}, it diverges; lower the learning rate")

    def timing(self) -> dict[str, float]:
        """Median seconds a step, and the peak of memory in bytes; nothing where no step was made."""
        if not self.seconds:
            return {}
        settled = self.seconds[UNSETTLED:] or self.seconds
        return {"seconds_per_step": statistics.median(settled), "peak_memory_bytes": self.peak}


def history_of(log: list[dict[str, float]]) -> list[dict[str, float]]:
    """The Trainer's log without its timings: loss and learning rate of every step, and every held-out loss once."""
    losses = [{key: entry[key] for key in ("step", "loss", "learning_rate")} for entry in log if "loss" in entry]
    held_out = {entry["step"]: entry["eval_loss"] for entry in log if "eval_loss" in entry}
    return losses + [{"step": step, "held_out_loss": loss} for step, loss in held_out.items()]
