"""The file of a survey, its tensors by layer in safetensors; and what an unfinished one has found so far."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorap.artifacts.meta import artifact_id, meta_path, read_meta
from lorap.errors import LorapError, first_line
from lorap.files import new_file
from lorap.settings.method import Scores

FIELDS = ("ffn", "vo", "qk", "weight")  # of a layer, see ``surveying.survey_model``


def write_survey(path: Path, layers: Sequence[Mapping[str, Tensor]]) -> None:
    """Writes the tensors of all layers."""
    tensors = {f"{index}.{name}": layer[name].contiguous() for index, layer in enumerate(layers) for name in FIELDS}
    save_file(tensors, path)


def read_survey(path: Path, inputs: Mapping[str, Path]) -> Scores:
    """The tensors of every layer.

    Args:
        path: The file.
        inputs: The model and the calibration that it has to be of, by role: as far as they are there.

    Raises:
        LorapError: It is no survey, or one of another model or calibration.
    """
    if not path.is_file():
        raise LorapError(f"{path}: no such file; make it with 'lorap survey'")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise LorapError(f"{path}: damaged or not safetensors ({first_line(error)}); run 'lorap survey'") from error
    count = len(tensors) // len(FIELDS)
    if not count or set(tensors) != {f"{index}.{name}" for index in range(count) for name in FIELDS}:
        raise LorapError(f"{path}: is no survey of a model; make it with 'lorap survey'")
    if inputs:
        _require_of(path, inputs)
    return [{name: tensors[f"{index}.{name}"] for name in FIELDS} for index in range(count)]


def _require_of(path: Path, inputs: Mapping[str, Path]) -> None:
    if not meta_path(path).is_file():
        raise LorapError(f"{path}: its {meta_path(path).name} is missing, which says what it is a survey of")
    surveyed = read_meta(path).get("inputs", {})
    for role, place in inputs.items():
        if surveyed.get(role) != artifact_id(place):
            raise LorapError(f"{path}: is a survey of another {role} than {place}; run 'lorap survey' with this one")


class Surveyed:
    """The layers that a run has surveyed, each in a file, so that the next run goes on behind them.

    Args:
        place: Their folder; None keeps nothing.
    """

    def __init__(self, place: Path | None) -> None:
        self.place = place

    def layer(self, index: int) -> dict[str, Tensor] | None:
        """What was found of a layer; None where it has to be surveyed, also because its file is damaged."""
        if self.place is None or not (file := self._file(self.place, index)).is_file():
            return None
        try:
            return load_file(file)
        except SafetensorError:
            return None

    def record(self, index: int, found: Mapping[str, Tensor]) -> None:
        """Keeps what was found of a layer."""
        if self.place is not None:
            with new_file(self._file(self.place, index)) as partial:
                save_file({name: tensor.contiguous() for name, tensor in found.items()}, partial)

    def _file(self, place: Path, index: int) -> Path:
        return place / f"{index}.safetensors"
