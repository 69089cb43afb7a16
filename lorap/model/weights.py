"""The weights of a model folder, read one tensor at a time, so that no model need fit into memory."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lorap.errors import LorapError, first_line
from lorap.files import read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
OLD_BUFFER = ".rotary_emb.inv_freq"  # written by transformers before 4.32, read by none
FORMAT_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
FLOATS = ("F32", "F16", "BF16", "F64")  # that weights may be stored in


class WeightsReader:
    """The tensors of a folder with one safetensors file, called ``single``, or several and their index.

    Raises:
        LorapError: No safetensors in the folder, or a file of it is missing, truncated or damaged.
    """

    def __init__(self, folder: Path, single: str = SINGLE) -> None:
        self.folder = folder
        if single == SINGLE and (folder / INDEX).is_file():
            files = _shards(folder / INDEX)
        elif (folder / single).is_file():
            files = [single]
        else:
            raise LorapError(f"{folder}: no {SINGLE} and no {INDEX}; only safetensors are read, see 'lorap fetch'")
        self.paths = [folder / name for name in files]
        self._files = {path: _open(path) for path in self.paths}
        self._path_of = {_printable(path, name): path for path, file in self._files.items() for name in file.keys()}

    def __contains__(self, name: str) -> bool:
        return name in self._path_of

    def load(self, name: str, dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
        """One tensor by its full name, in a dtype unless it holds whole numbers.

        Raises:
            LorapError: The folder has no such tensor, or it holds values that are not finite.
        """
        return self.place({name: self.read(name)}, "", dtype, device)[name]

    def read(self, name: str, pinned: bool = False) -> Tensor:
        """One tensor as the file has it; ``pinned`` in memory that a GPU fetches from while the CPU works on.

        Raises:
            LorapError: The folder has no such tensor.
        """
        tensor: Tensor = self._files[self._path(name)].get_tensor(name)
        return tensor.pin_memory() if pinned else tensor

    def place(
        self, tensors: Mapping[str, Tensor], prefix: str, dtype: torch.dtype, device: torch.device | str
    ) -> dict[str, Tensor]:
        """Brings tensors that were read to a device and a dtype; names are without ``prefix``.

        Raises:
            LorapError: One of them holds values that are not finite, for which the device is waited for once.
        """
        placed: dict[str, Tensor] = {}
        finite: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            there = tensor.to(device=device, non_blocking=True)
            placed[name] = there.to(dtype) if there.is_floating_point() else there  # an order of outputs
            if there.is_floating_point() and there.numel():
                finite[name] = torch.isfinite(torch.stack(placed[name].aminmax())).all()
        fine = torch.stack(list(finite.values())).tolist() if finite else []
        if not all(fine):
            name = prefix + list(finite)[fine.index(False)]
            raise LorapError(f"{self._path(name)}: {name} holds values that are not finite in {dtype}")
        return placed

    def require(self, tensors: Mapping[str, Tensor], optional: Collection[str]) -> None:
        """Compares names and shapes with those of a model; values are not read, but for orders.

        Args:
            tensors: What the model holds, on the meta device or not.
            optional: Names that may stand in the files too, such as those of tied weights.

        Raises:
            LorapError: A tensor is missing, has another shape or other numbers, or is no part of the model.
        """
        for name, tensor in tensors.items():
            path = self._path(name)
            stored = self._files[path].get_slice(name)
            shape, kind = tuple(stored.get_shape()), stored.get_dtype()
            if shape != tensor.shape:
                raise LorapError(f"{path}: {name} is {shape}, but config.json makes it {tuple(tensor.shape)}")
            if kind not in (kinds := FLOATS if tensor.is_floating_point() else (FORMAT_NAMES[tensor.dtype],)):
                raise LorapError(f"{path}: {name} is of type {kind}, expected {' or '.join(kinds)}")
            if not tensor.is_floating_point() and not _is_order(self._files[path].get_tensor(name)):
                raise LorapError(f"{path}: {name} is no order of {len(tensor)} outputs")
        for name, path in self._path_of.items():
            if name not in tensors and name not in optional and not name.endswith(OLD_BUFFER):
                raise LorapError(f"{path}: {name} is no part of the model that config.json describes")

    def _path(self, name: str) -> Path:
        if name not in self:
            raise LorapError(f"{self.folder}: no tensor {name} in its safetensors; the folder is incomplete")
        return self._path_of[name]


def _shards(index: Path) -> list[str]:
    try:
        return sorted({_printable(index, Path(name).name) for name in read_json(index)["weight_map"].values()})
    except (KeyError, TypeError, AttributeError) as error:
        raise LorapError(f"{index}: damaged, it has no weight_map of names to files; fetch the model again") from error


def _open(path: Path) -> safe_open:
    if not path.is_file():
        raise LorapError(f"{path}: missing, though {INDEX} names it; fetch the model again")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise LorapError(
            f"{path}: damaged or truncated safetensors ({first_line(error)}); fetch the model again"
        ) from error


def _is_order(numbers: Tensor) -> bool:
    return numbers.sort().values.tolist() == list(range(len(numbers)))


def _printable(file: Path, name: str) -> str:
    """A name in a file, which messages may quote."""
    if not name.isprintable():
        raise LorapError(f"{file}: damaged, it has the name {name!r}; fetch the model again")
    return name
