"""What a step takes of a machine: memory and time, in upper bounds; no torch here."""

from dataclasses import dataclass

MIB = 2**20
CUDA = 3072 * MIB  # its libraries and its context, in the memory of the host
MARGIN = 1.2

STARTUP = 15  # minutes, with all that is read and written
# Multiply-accumulates a second, slow ones: nobody gains by a limit that is short.
PASSES = {"core": 5e9, "gpu": 2e13}
EIGENVECTORS = {"core": 5e9, "gpu": 3e11}  # in float64


@dataclass(frozen=True)
class Need:
    """What a step takes.

    Attributes:
        host: Bytes that are in the host's memory on whatever device the step runs.
        device: Bytes where the step computes: the GPU's, or the host's too.
        work: Multiply-accumulates of passes through the model, and of what is summed and solved beside them.
        eigenvectors: Multiply-accumulates of finding eigenvectors.
        waiting: Minutes that no faster machine shortens.
    """

    host: float
    device: float = 0
    work: float = 0
    eigenvectors: float = 0
    waiting: int = 0

    def memory(self, gpu: bool) -> int:
        """MiB of the host's memory."""
        return round(MARGIN * (self.host + (CUDA if gpu else self.device)) / MIB)

    def device_memory(self) -> int:
        """MiB of a GPU's memory."""
        return round(MARGIN * self.device / MIB)

    def minutes(self, gpu: bool, cores: int) -> int:
        """Minutes, on a slow machine of that kind."""
        device, count = ("gpu", 1) if gpu else ("core", cores)
        seconds = (self.work / PASSES[device] + self.eigenvectors / EIGENVECTORS[device]) / count
        return STARTUP + self.waiting + round(seconds / 60)
