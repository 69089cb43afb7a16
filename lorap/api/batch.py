"""The batch that a job chooses for itself."""

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lorap.artifacts.specs import Batched
from lorap.machine.need import MARGIN
from lorap.machine.streaming import read_model
from lorap.settings.schema import Calibrate
from lorap.workflow.resources import need_of

if TYPE_CHECKING:
    import torch

BatchedT = TypeVar("BatchedT", bound=Batched)


def settled(
    spec: BatchedT, model: Path, input_ids: "torch.Tensor", device: "torch.device", taken: dict[str, int] | None = None
) -> BatchedT:
    """Settings with a number in the place of ``batch: auto``: as many windows as the device has free memory for.

    Args:
        spec: Of the job.
        model: Folder of its model.
        input_ids: (windows, tokens).
        device: Where it computes.
        taken: Gets the number, for the meta of what is made; nothing where the settings have one already.

    Returns:
        At least one window at once, at most all; what it needs is an upper bound (``machine.needs``).
    """
    from lorap.machine.free import free_memory

    if spec.batch != "auto":
        return spec
    count, length = input_ids.shape
    drawn, dense = Calibrate(corpus="calibration", nsamples=count, seqlen=length), read_model(model / "config.json")

    def of(batch: int) -> BatchedT:
        return spec.model_copy(update={"batch": batch})

    def bytes_of(batch: int) -> int:
        return round(MARGIN * need_of(of(batch), lambda: dense, drawn).device)

    batch = max(1, bisect_right(range(1, count + 1), free_memory(device), key=bytes_of))
    if taken is not None:
        taken["batch"] = batch
    return of(batch)
