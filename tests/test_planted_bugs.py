"""Bugs of a GPU's path, planted one at a time: the tests on the pretended device find each of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lorap.compression.entrance import entrance
from lorap.core import channels, factorise, statistics
from tests import test_pretended as held

pytestmark = pytest.mark.thorough

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def sums_on_the_cpu(patch: Patch) -> None:
    made = statistics.Moments.__init__
    patch.setattr(
        statistics.Moments,
        "__init__",
        lambda self, features, kinds, device="cpu", blocks=1: made(self, features, kinds, "cpu", blocks),
    )


def tables_on_the_cpu(patch: Patch) -> None:
    """The rotary tables of a layer, as a model that was never moved makes them."""
    enter = entrance

    def there(*arguments_of_it: Any) -> Any:
        hidden, arguments = enter(*arguments_of_it)
        return hidden, [
            one | {"position_embeddings": [t.cpu() for t in one["position_embeddings"]]} for one in arguments
        ]

    patch.setattr("lorap.compression.loop.entrance", there)


def factors_on_the_cpu(patch: Patch) -> None:
    best = factorise.factorise
    patch.setattr(factorise, "factorise", lambda *arguments: tuple(factor.cpu() for factor in best(*arguments)))


def channels_on_the_cpu(patch: Patch) -> None:
    kept = channels.kept_units
    patch.setattr(channels, "kept_units", lambda *arguments: kept(*arguments).cpu())


def windows_left_where_they_are_stored(patch: Patch) -> None:
    """Of offloaded activations: a pass that forgets to bring them to the device."""
    to = Tensor.to

    def forgets(self: Tensor, *arguments: Any, **options: Any) -> Tensor:
        is_stored = self.dim() == 3 and self.device.type == "cpu" and arguments[:1] == (held.CUDA,)
        return self if is_stored else to(self, *arguments, **options)

    patch.setattr(Tensor, "to", forgets)


def a_look_at_every_batch(patch: Patch) -> None:
    update = statistics.Moments.update

    def looks(self: Any, inputs: Tensor, weights: Tensor | None = None) -> None:
        update(self, inputs, weights)
        assert float(self.squares.sum()) >= 0

    patch.setattr(statistics.Moments, "update", looks)


def inputs_that_are_never_dropped(patch: Patch) -> None:
    update, kept = statistics.Moments.update, []

    def keeps(self: Any, inputs: Tensor, weights: Tensor | None = None) -> None:
        update(self, inputs, weights)
        kept.append(inputs.double())

    patch.setattr(statistics.Moments, "update", keeps)


def require(check: str, model: Path, windows: Tensor, place: Path) -> None:
    if check == "bytes":
        held.require_the_bytes_of_the_cpu(model, windows, place)
    elif check == "offloaded bytes":
        held.require_the_bytes_of_the_cpu(model, windows, place, offload=True)
    elif check == "waits":
        held.require_few_waits(model, windows, place)
    else:
        held.require_no_more_memory_than_asked_for(model, windows, place)


@pytest.mark.parametrize(
    ("plant", "check", "told"),
    [
        (sums_on_the_cpu, "bytes", "expected all tensors on one device"),
        (tables_on_the_cpu, "bytes", "expected all tensors on one device"),
        (factors_on_the_cpu, "bytes", "expected all tensors on one device"),
        (channels_on_the_cpu, "bytes", "expected all tensors on one device"),
        (windows_left_where_they_are_stored, "offloaded bytes", "expected all tensors on one device"),
        (a_look_at_every_batch, "waits", None),
        (inputs_that_are_never_dropped, "memory", None),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value),
)
def test_it_is_found(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, monkeypatch: Patch, plant: Plant, check: str, told: str | None
) -> None:
    require(check, tiny_folder, windows, tmp_path / "sound")
    plant(monkeypatch)
    with pytest.raises(RuntimeError if told else AssertionError, match=told):
        require(check, tiny_folder, windows, tmp_path / "planted")
