"""Where a model goes that has no room on one GPU, by pretended free memories; and that it answers the same there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from torch import Tensor
from transformers import LlamaConfig, PreTrainedModel

from lorap.errors import LorapError
from lorap.evaluation.cost import measure_cost
from lorap.evaluation.perplexity import window_losses
from lorap.evaluation.streamed import Streamed, open_model
from lorap.evaluation.zeroshot import measure_zeroshot
from lorap.machine import fit, gpu
from lorap.machine import spread as spreading
from lorap.machine.fit import CPU, MARGIN, Place, choose, place_of, reachable, require_place
from lorap.machine.spread import settle
from lorap.model.folder import load_model, skeleton
from lorap.model.tokenizer import load_tokenizer
from lorap.settings.schema import Cost
from lorap.tuning.loading import load_tuned
from tests.adapters import random_adapter
from tests.asking import spec_of
from tests.conftest import SMALL
from tests.pretended import pretended

CUDA, FIRST, SECOND = torch.device("cuda"), torch.device("cuda", 0), torch.device("cuda", 1)
LAYERS = 8
PARTS = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.layers.2", "model.norm", "model.rotary_emb",
         "lm_head")  # fmt: skip
Memory = Callable[[torch.device], int]


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    """The skeleton of a model of eight layers."""
    return skeleton(LlamaConfig(**(SMALL | {"num_hidden_layers": LAYERS, "hidden_size": 256})))


@pytest.fixture(scope="module")
def size(model: PreTrainedModel) -> int:
    """Bytes of its weights in float32."""
    return 4 * sum(tensor.numel() for tensor in model.state_dict().values())


def memory(host: float, *gpus: float) -> Memory:
    """Bytes that are free on the host and on each GPU."""
    return lambda device: int(host if device.type == "cpu" else gpus[device.index or 0])


def chosen(model: PreTrainedModel, free: Memory, count: int = 2, comfort: float = 0) -> Place | None:
    gpus = [torch.device("cuda", index) for index in range(count)]
    return choose(model, torch.float32, CUDA, gpus, comfort, free)


def test_a_model_with_room_on_the_gpu_asked_for_stays_there_and_no_other_is_opened(
    model: PreTrainedModel, size: int
) -> None:
    def free(device: torch.device) -> int:
        assert device in (CPU, CUDA), "another GPU was looked at"
        return 2 * size

    assert chosen(model, free) == CUDA


@pytest.mark.parametrize("free", [(0.9, 0.9), (0.4, 1.1), (1.1, 0.4), (0.5, 0.5, 0.5), (0.8, 0.2, 0.8)])
def test_a_larger_one_is_spread_a_layer_in_one_piece_within_each_memory(
    model: PreTrainedModel, size: int, free: tuple[float, ...]
) -> None:
    places = chosen(model, memory(9 * size, *(size * share for share in free)), len(free))
    assert isinstance(places, dict)
    assert not [part for part in places if part.startswith("model.layers.") and part.count(".") > 2]
    used = dict.fromkeys(places.values(), 0)
    for name, tensor in model.state_dict().items():
        (device,) = (device for part, device in places.items() if f"{name}.".startswith(f"{part}."))
        used[device] += 4 * tensor.numel()
    assert sum(used.values()) == size
    assert all(MARGIN * bytes_ <= size * free[int(device[-1])] for device, bytes_ in used.items())
    order = [places[f"model.layers.{index}"] for index in range(LAYERS)]
    assert order == sorted(order), "activations go from one GPU to the next and never back"


@pytest.mark.parametrize(
    ("host", "gpus"),
    [(9, (0.5, 0.5)), (9, (0.1, 1.0)), (9, (1.1,)), (1.1, (2, 2))],
    ids=["both", "one", "alone", "host"],
)
def test_where_it_has_no_room_it_has_no_place(
    model: PreTrainedModel, size: int, host: float, gpus: tuple[float, ...]
) -> None:
    assert chosen(model, memory(host * size, *(size * share for share in gpus)), len(gpus)) is None


def test_what_would_be_tight_on_one_gpu_is_rather_spread(model: PreTrainedModel, size: int) -> None:
    two = memory(9 * size, 2 * size, 2 * size)
    assert chosen(model, two, comfort=2 * size) == CUDA
    assert isinstance(chosen(model, two, comfort=3 * size), dict)
    assert chosen(model, two, count=1, comfort=3 * size) == CUDA, "where there is one, the bound may be too high"


def test_a_gpu_by_number_or_from_torchrun_stands_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert reachable(CUDA) == [FIRST, SECOND]
    assert reachable(SECOND) == [SECOND]
    assert reachable(CPU) == [CPU]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert reachable(CUDA) == [CUDA]


def spread_over_two(folder: Path, adapter: Path | None = None) -> PreTrainedModel:
    """A model on two pretended GPUs of which neither has room for it."""
    size = 4 * sum(tensor.numel() for tensor in load_model(folder).state_dict().values())
    free = memory(9 * size, size, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "free_memory", free)
        return load_tuned(folder, adapter, device=CUDA)


@pytest.mark.parametrize("kept_as", ["alone", "adapter"])
def test_on_two_gpus_it_answers_the_same_and_no_tensors_of_both_meet(
    family_folder: Path, windows: Tensor, tmp_path: Path, kept_as: str
) -> None:
    adapter = random_adapter(family_folder, tmp_path / "adapter") if kept_as == "adapter" else None
    tokenizer, asked = load_tokenizer(family_folder), spec_of("pydoc", documents=6)

    def measured(loaded: Any) -> Any:
        return window_losses(loaded, windows, 5), measure_zeroshot(asked, loaded, tokenizer, None, quiet=True)["tasks"]

    expected = measured(load_tuned(family_folder, adapter))
    with pretended(count=2):
        loaded = spread_over_two(family_folder, adapter)
        assert {str(parameter.device) for parameter in loaded.parameters()} == {"cuda:0", "cuda:1"}
        found = measured(loaded)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1] == expected[1]


def test_its_cost_is_not_measured_there(tiny_folder: Path) -> None:
    cost = Cost(tokens=8, prompt=8, new_tokens=3, batches=[1], warmup=1, repeats=1)
    with pretended(count=2):
        loaded = spread_over_two(tiny_folder)
        with pytest.raises(LorapError, match=r"^cost: the model has no room on one GPU; choose a larger one"):
            measure_cost(cost, loaded)


def test_what_has_no_place_is_streamed_where_it_can_be(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "free_memory", lambda device: 10_000)
    assert place_of(tiny_folder, None, CPU) is None
    assert isinstance(open_model(tiny_folder, None, None, CPU, quiet=True), Streamed)
    adapter = random_adapter(tiny_folder, tmp_path / "adapter")
    assert isinstance(open_model(tiny_folder, adapter, None, CPU, quiet=True), Streamed)


def test_what_needs_a_model_whole_names_need_and_way_out(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sum(tensor.numel() for tensor in load_model(tiny_folder).state_dict().values()) * 4
    monkeypatch.setattr(fit, "GIB", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def message(host: float, each: float) -> str:
        monkeypatch.setattr(fit, "free_memory", memory(host * whole, each * whole, each * whole))
        with pytest.raises(LorapError) as caught:
            require_place(tiny_folder, None, CUDA)
        return str(caught.value)

    assert "larger than the free memory of cpu, " in message(1.0, 9.0)
    told = message(9.0, 0.1)
    assert f"is larger than the free memory of cuda, {int(0.1 * whole)}.0 GiB" in told
    assert "--device cuda means all" in told
    assert "'lorap evaluate' of perplexity and zeroshot, go layer by layer" in told
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert "without it the model is spread over all" in message(9.0, 0.1)
    monkeypatch.setattr(fit, "leased", lambda: "3")
    assert f"this job has one GPU, with {gpu.AUTO}=cuda jobs use all" in message(9.0, 0.1)


def test_hooks_of_accelerate_leave_generation_as_it_is(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where the cache of keys and values is lost on its way between devices."""
    monkeypatch.setattr(spreading, "dispatch_model", partial(dispatch_model, force_hooks=True))
    settled, asked = load_model(tiny_folder), {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    settle(settled, dict.fromkeys(PARTS, "cpu"))
    prompt = torch.tensor([[5, 6, 7]])
    assert torch.equal(settled.generate(prompt, **asked), load_model(tiny_folder).generate(prompt, **asked))
