"""Weights written one tensor at a time, so that no model need fit into memory."""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from lorap.errors import LorapError
from lorap.files import require_space
from lorap.model.weights import FORMAT_NAMES


class WeightsWriter:
    """Writes one safetensors file tensor by tensor; names and shapes are known beforehand, values come in any order.

    The library writes only a whole dict at once. The format is a length, a JSON header and the bytes behind it.

    Args:
        path: The file to write.
        tensors: The tensors to come, on the meta device or not: names, shapes and dtypes count.
        kept: The names of those that the file has already, from an earlier run.

    Raises:
        LorapError: A dtype that is not written, or too little space on the disk.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Tensor], kept: Collection[str] = ()) -> None:
        self.path = path
        self._missing = {name: tensor for name, tensor in tensors.items() if name not in kept}
        self._offsets: dict[str, int] = {}
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, tensor in tensors.items():
            if tensor.dtype not in FORMAT_NAMES:
                raise LorapError(f"{name}: {tensor.dtype} is no dtype that lorap writes; convert the model first")
            start, end = end, end + tensor.numel() * tensor.element_size()
            self._offsets[name] = start
            shape = list(tensor.shape)
            header[name] = {"dtype": FORMAT_NAMES[tensor.dtype], "shape": shape, "data_offsets": [start, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        require_space(path.parent, end)
        self._file = path.open("r+b" if kept else "wb")
        self._file.write(len(text).to_bytes(8, "little") + text)
        self._start = self._file.tell()
        self._file.truncate(self._start + end)  # so that what is there can be read before all is

    def write(self, name: str, tensor: Tensor) -> None:
        """Writes one of the announced tensors; its shape and dtype must be those announced."""
        announced = self._missing.pop(name)
        if (announced.shape, announced.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{name}: {tensor.shape} {tensor.dtype}, announced {announced.shape} {announced.dtype}")
        self._file.seek(self._start + self._offsets[name])
        self._file.write(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)

    def keep(self) -> None:
        """Has the disk hold all that was written."""
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def missing(self) -> list[str]:
        """Names of the announced tensors that are still to be written."""
        return list(self._missing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None and self._missing:
            raise ValueError(f"{self.path}: never written: {', '.join(self._missing)}")
