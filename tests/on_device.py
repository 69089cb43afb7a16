"""A tensor that says it is on a device, for ``tests/pretended.py``."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


class OnDevice(Tensor):
    """A tensor that says it is on a device; ``numbers`` is the tensor of the CPU that it stands for."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor, device: torch.device) -> "OnDevice":
        made = Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            layout=numbers.layout,
            device=device,
            requires_grad=False,
        )
        made.numbers = numbers
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"OnDevice({self.device}, {self.numbers!r})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Goes around the few bindings that want the guard of a device, which a build for the CPU has not."""
        with torch._C.DisableTorchFunctionSubclass():
            return UNGUARDED.get(func, func)(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise AssertionError(f"{func} outside of the pretended device")


def _narrowed(tensor: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
    """What basic indexing leaves of a tensor, and the tensors that are still to index it."""
    dim = 0
    rest: list[Tensor | None] = []
    index = index if isinstance(index, tuple) else (index,)
    for position, part in enumerate(index):
        if part is Ellipsis:
            dim = tensor.dim() - sum(map(_dims_taken, index[position:]))
        elif part is None:
            tensor, dim = aten.unsqueeze(tensor, dim), dim + 1
        elif isinstance(part, slice):
            tensor, dim = aten.slice(tensor, dim, part.start, part.stop, part.step or 1), dim + 1
        elif isinstance(part, Tensor | list):
            rest += [None] * (dim - len(rest)) + [torch.as_tensor(part)]
            dim += _dims_taken(part)
        else:
            tensor = aten.select(tensor, dim, int(part))
    return tensor, rest


def _dims_taken(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    return part.dim() if isinstance(part, Tensor) and part.dtype is torch.bool else 1


def _get(tensor: Tensor, index: Any) -> Tensor:
    narrowed, rest = _narrowed(tensor, index)
    found: Tensor = aten.index(narrowed, rest) if rest else aten.alias(narrowed)
    return found


def _set(tensor: Tensor, index: Any, value: Any) -> None:
    narrowed, rest = _narrowed(tensor, index)
    value = value if isinstance(value, Tensor) else torch.tensor(value, dtype=tensor.dtype)
    aten.index_put_(narrowed, rest, value) if rest else aten.copy_(narrowed, value)


def _contiguous(tensor: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    return tensor if tensor.is_contiguous() else aten.clone(tensor, memory_format=memory_format)


UNGUARDED: dict[Any, Callable[..., Any]] = {
    Tensor.__getitem__: _get,
    Tensor.__setitem__: _set,
    Tensor.__float__: lambda tensor: float(tensor.item()),
    Tensor.__int__: lambda tensor: int(tensor.item()),
    Tensor.__index__: lambda tensor: int(tensor.item()),
    Tensor.tolist: lambda tensor: tensor.cpu().tolist(),
    Tensor.nonzero: lambda tensor: aten.nonzero(tensor),
    Tensor.contiguous: _contiguous,
    Tensor.copy_: lambda tensor, source, non_blocking=False: aten.copy_(tensor, source, non_blocking),
}
