"""A device that is only a name: its numbers are the CPU's, but devices may not be mixed, waits and bytes are counted.

Whole runs go through it with the bytes that the CPU makes, which ``FakeTensorMode`` cannot, since it knows no numbers.
Gradients are the CPU's too: where they are wanted, it is the numbers that are recorded, and what is kept for the way
back is not among the bytes. It does not see kernels that a real device lacks or computes otherwise, or races.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

from tests.on_device import OnDevice

aten = torch.ops.aten
CPU = torch.device("cpu")
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)
RECORDERS = (torch._C.DispatchKey.AutogradFunctionality, torch._C.DispatchKey.ADInplaceOrView)
TENSOR: Any = Tensor  # whose methods torch has not typed
GRAD = (TENSOR.grad.__get__, TENSOR.grad.__set__)
WAITS = (aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default)


def numbers_of(value: Any) -> Any:
    """The CPU's tensor, of one that is on the device."""
    return value.numbers if isinstance(value, OnDevice) else value


class Pretended(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Who asks for a device of this kind gets one.

    Attributes:
        waits: How often the host waited for the device, by operation.
        synchronised: How often it was asked to.
        peak: The most bytes that tensors had there at once; workspaces of libraries are not among them.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind = kind
        self.waits: Counter[str] = Counter()
        self.synchronised = self.bytes = self.peak = 0
        self._users: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        tensors = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
        here = any(isinstance(tensor, OnDevice) for tensor in tensors)
        asked = None if kwargs.get("device") is None else torch.device(kwargs["device"])
        where = _common_device(func, args, tensors) if asked is None else asked
        if not here and (asked is None or asked.type != self.kind):
            return func(*args, **kwargs)
        if func in WAITS or (here and where == CPU):
            self.waits[func.overloadpacket.__name__] += 1
        known = {id(tensor.numbers): tensor for tensor in tensors if isinstance(tensor, OnDevice)}
        args, kwargs = tree_map(numbers_of, (args, kwargs))
        if asked is not None and asked.type == self.kind:
            kwargs["device"] = CPU

        def placed(value: Any) -> Any:
            if not isinstance(value, Tensor) or where is None or where.type != self.kind:
                return value
            return (
                known[id(value)] if id(value) in known else self.new(value, torch.device(self.kind, where.index or 0))
            )

        with _recording():
            return tree_map(placed, func(*args, **kwargs))

    def new(self, numbers: Tensor, device: torch.device) -> OnDevice:
        """A tensor on the device, its bytes counted until the last one with its storage has gone."""
        if self.kind == "mps" and numbers.dtype is torch.float64:
            raise TypeError("the MPS framework does not support float64")
        storage = numbers.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        self.bytes += 0 if self._users[key] else size
        self._users[key] += 1
        self.peak = max(self.peak, self.bytes)
        made = OnDevice(numbers, device)
        weakref.finalize(made, self._drop, key, size, storage)
        return made

    def _drop(self, key: int, size: int, storage: torch.UntypedStorage) -> None:
        self._users[key] -= 1
        self.bytes -= 0 if self._users[key] else size


@contextmanager
def _recording() -> Iterator[None]:
    """Where gradients are on, the numbers record what happens to them; autograd itself has been passed by then."""
    with ExitStack() as guards:
        for key in RECORDERS if torch.is_grad_enabled() else ():
            guards.enter_context(torch._C._SetExcludeDispatchKeyGuard(key, False))
        yield


def _common_device(func: Any, args: Any, tensors: list[Tensor]) -> torch.device | None:
    """The device of an operation; as on a GPU, numbers and indices may be on the CPU, other tensors not."""
    if func is aten.copy_.default:
        return args[0].device
    if func in INDEXING:
        tensors = [t for t in tensors if not (t.device == CPU and t.dtype in (torch.int64, torch.bool))]
    several = [tensor for tensor in tensors if not (tensor.device == CPU and tensor.dim() == 0)] or tensors
    devices = list(dict.fromkeys(tensor.device for tensor in several))
    if func._schema.is_mutable and args and isinstance(args[0], Tensor) and args[0].device not in devices:
        devices.append(args[0].device)
    if len(devices) > 1:
        raise RuntimeError(f"expected all tensors on one device, but found {' and '.join(map(str, devices))} ({func})")
    return devices[0] if devices else None


class _Named(TorchFunctionMode):
    """Calls the device by its number, which a build for the CPU cannot look up; ``torch.tensor`` starts on the CPU."""

    def __init__(self, mode: Pretended) -> None:
        super().__init__()
        self.mode, self.kind = mode, mode.kind

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.cuda:
            return args[0].to(torch.device("cuda", 0))
        if func is scaled_dot_product_attention and self.kind == "mps":
            return aten._scaled_dot_product_attention_math(*args, **kwargs)[0]
        if func is Tensor.requires_grad_ and isinstance(args[0], OnDevice):
            args[0].numbers.requires_grad_(*args[1:], **kwargs)
            return args[0]
        if func is TENSOR.register_post_accumulate_grad_hook and isinstance(args[0], OnDevice):
            return func(args[0].numbers, partial(self._call, args[1], args[0]))
        if func is TENSOR.backward:
            return func(*tree_map(numbers_of, args), **tree_map(numbers_of, kwargs))
        if func in GRAD and isinstance(args[0], OnDevice):
            found = func(*map(numbers_of, args))
            return found if found is None else self.mode.new(found, args[0].device)
        if func is torch.autograd.grad:
            args, kwargs = tree_map(numbers_of, (args, kwargs))
            return tree_map(lambda found: self.mode.new(found, torch.device(self.kind, 0)), func(*args, **kwargs))
        if func is Tensor.to:
            args = tuple(map(self._numbered, args))
        if "device" in kwargs:
            kwargs["device"] = device = self._numbered(kwargs["device"])
            if func in (torch.tensor, torch.as_tensor, torch.asarray) and isinstance(device, torch.device):
                return func(*args, **(kwargs | {"device": CPU})).to(device)
        return func(*args, **kwargs)

    def _call(self, hook: Callable[[Tensor], None], tensor: Tensor, _: Tensor) -> None:
        with self:  # which the engine has left
            hook(tensor)

    def _numbered(self, device: Any) -> Any:
        is_bare = isinstance(device, str | torch.device) and str(device) == self.kind
        return torch.device(self.kind, 0) if is_bare else device


@contextmanager
def pretended(kind: str = "cuda", count: int = 1) -> Iterator[Pretended]:
    """A machine with devices of a kind, as far as torch can tell; gradients are off until somebody wants them."""
    mode = Pretended(kind)

    def synchronise(*_: Any) -> None:
        mode.synchronised += 1

    calls: dict[str, Callable[..., Any]] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: kind == "cuda",
        "device_count": lambda: count,
        "current_device": lambda: 0,
        "get_device_capability": lambda *_: (8, 6),
        "synchronize": synchronise,
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_allocated": lambda *_: mode.peak,
        "empty_cache": lambda: None,
        "mem_get_info": lambda *_: (2**40, 2**40),
        "get_device_name": lambda *_: "pretended",
    }
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        for name, call in calls.items():
            stack.enter_context(patch.object(torch.cuda, name, call))
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        for context in (mode, _Named(mode), torch.no_grad()):
            stack.enter_context(context)
        yield mode
