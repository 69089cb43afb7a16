"""lorap-plus from end to end, on every family: its budget, what it leaves of a model, and what it refuses."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig

from lorap.artifacts.specs import CompressSpec
from lorap.compression.attention_metrics import attention_metrics
from lorap.compression.dense import export_dense
from lorap.compression.joint_errors import attention_modules, joint_errors
from lorap.compression.loop import LayerLoop
from lorap.compression.planning import Plan
from lorap.compression.run import compress
from lorap.errors import LorapError
from lorap.model.factored import read_plans
from lorap.model.family import layer_shapes, linear
from lorap.model.folder import load_model, read_config, skeleton
from lorap.model.swap import set_linear
from lorap.settings.config import load_params
from tests.compare import CPU, RUN, survey_for, total_variation
from tests.conftest import save_random_model
from tests.workflow import ROOT

PARAMS = load_params(ROOT / "params.yaml")
Compress = Callable[..., tuple[Plan, Path]]


@pytest.fixture
def compressed(tmp_path: Path, windows: Tensor) -> Compress:
    """Compresses a model by lorap-plus, or by another method, after a survey."""
    count = itertools.count()

    def run(folder: Path, sparsity: float, **changes: object) -> tuple[Plan, Path]:
        method = PARAMS.methods["lorap-plus"].overridden(changes)
        out = tmp_path / f"small-{next(count)}"
        out.mkdir()
        survey = survey_for(method, folder, windows)
        spec = CompressSpec(method=method, sparsity=sparsity, **RUN)
        return compress(spec, folder, windows, out, CPU, quiet=True, survey=survey), out

    return run


@pytest.mark.parametrize("sparsity", [0.2, 0.5])
def test_every_family_meets_the_budget_and_stores_what_it_computes(
    family_folder: Path, compressed: Compress, windows: Tensor, tmp_path: Path, sparsity: float
) -> None:
    plan, out = compressed(family_folder, sparsity)
    unit = 3 * plan.shapes[0].sizes["gate_proj"][1]
    dense = sum(shape.parameters for shape in plan.shapes)
    assert -1e-9 <= plan.removed - sparsity <= max(0.001, 2 * unit / dense)
    small = load_model(out)
    assert read_plans(small.config, plan.shapes) == plan.layers
    assert sum(p.numel() for name, p in small.named_parameters() if "_proj" in name and "bias" not in name) == (
        plan.linear_parameters
    )
    (tmp_path / "dense").mkdir()
    export_dense(out, tmp_path / "dense")
    assert total_variation(small, load_model(tmp_path / "dense"), windows) < 1e-4
    small.generate(windows[:1, :4], max_new_tokens=3)
    joint = [layer["joint_errors"] for layer in json.loads((out / "layers.json").read_text()) if layer["shared"]]
    assert joint
    assert all(0.5 < errors["predicted"] / errors["measured"] < 2 for errors in joint)


def test_at_full_size_the_dense_model_comes_back(family_folder: Path, compressed: Compress, windows: Tensor) -> None:
    plan, out = compressed(family_folder, 0.0)
    assert plan.removed == 0
    assert total_variation(load_model(family_folder), load_model(out), windows) < 1e-3


def test_biases_of_all_projections_are_left_to_do_their_part(
    tokenizer_folder: Path, compressed: Compress, windows: Tensor, tmp_path: Path
) -> None:
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=300, attention_bias=True, mlp_bias=True,
    )  # fmt: skip
    folder = save_random_model(config, tmp_path / "biased", tokenizer_folder)
    model = load_model(folder)
    _, whole = compressed(folder, 0.0)
    assert total_variation(model, load_model(whole), windows) < 1e-3
    _, small = compressed(folder, 0.3)
    biases = {name: bias for name, bias in load_model(small).named_parameters() if name.endswith("o_proj.inner.bias")}
    assert all(torch.equal(bias, model.get_parameter(name.replace(".inner", ""))) for name, bias in biases.items())


@pytest.mark.parametrize("ffn", ["obs", "prune", "none"])
@pytest.mark.parametrize(
    ("attention", "half"),
    [("joint-qk", {"vo": "narrow-heads"}), ("joint-qk", {"vo": "none"}), ("narrow-heads", {"qk": "second-moment"}),
     ("narrow-heads", {"qk": "none"}), ("second-moment", {}), ("awsvd", {}), ("wanda-sp", {}), ("none", {})],
)  # fmt: skip
def test_parts_work_with_any_other_and_a_refit_never_harms_what_it_was_made_on(
    tiny_folder: Path, compressed: Compress, windows: Tensor, attention: str, half: dict[str, str], ffn: str
) -> None:
    dense = load_model(tiny_folder)
    off = []
    for repair in ("none", "refit"):
        share = "uniform" if attention == ffn == "none" else "water-filling"
        changes = {"attention": attention, **half, "ffn": ffn, "repair": repair, "share": share}
        _, out = compressed(tiny_folder, 0.4, **changes)
        off.append(total_variation(dense, load_model(out), windows))
    assert all(math.isfinite(value) for value in off)
    if attention == ffn == "none":
        assert off[1] < 1e-3


def output_by_head(
    loop: LayerLoop, index: int, layer: nn.Module, change: Tensor, name: str, heads: int
) -> list[Tensor]:
    """What each query head adds to the attention's output where the outputs of q or k are changed: (tokens, hidden)."""
    caught: list[Tensor] = []
    hooks = [
        linear(layer, name).register_forward_hook(lambda module, inputs, output: output + change),
        linear(layer, "o_proj").register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0][0])),
    ]
    with torch.enable_grad():
        loop.window_outputs(index, layer, loop.streams["compressed"])
    for hook in hooks:
        hook.remove()
    width = linear(layer, "o_proj").in_features // heads
    columns = linear(layer, "o_proj").weight
    return [
        part @ column.T
        for part, column in zip(torch.split(caught[0], width, 1), torch.split(columns, width, 1), strict=True)
    ]


def test_metrics_of_every_family_are_the_change_of_the_attentions_output(family_folder: Path, windows: Tensor) -> None:
    few = windows[:1, :6]
    loop = LayerLoop(skeleton(read_config(family_folder)), family_folder, few, torch.float32, CPU, batch=5)
    index, layer = next(iter(loop))
    query_heads = layer_shapes(loop.model)[0].heads
    for name, metric in attention_metrics(loop, index, layer, 1).items():
        heads, width, _ = metric.shape
        change = torch.zeros(1, few.shape[1], heads * width, requires_grad=True)
        outputs = output_by_head(loop, index, layer, change, name, query_heads)
        total = torch.zeros_like(metric)
        for head, output in enumerate(outputs):
            own = head * heads // len(outputs)
            basis = torch.eye(output.numel()).view(-1, *output.shape)
            (rows,) = torch.autograd.grad(output, change, basis, retain_graph=True, is_grads_batched=True)
            felt = rows.view(len(rows), -1, heads, width)[:, :, own].double()
            total[own] += torch.einsum("otp,otq->pq", felt, felt)
        torch.testing.assert_close(metric, total / few.shape[1], rtol=1e-3, atol=1e-4 * float(total.max()))


def test_small_changes_of_queries_and_keys_move_the_output_as_far_as_their_metrics_predict(
    family_folder: Path, windows: Tensor
) -> None:
    loop = LayerLoop(skeleton(read_config(family_folder)), family_folder, windows, torch.float32, CPU, batch=5)
    index, layer = next(iter(loop))
    metrics, dense = attention_metrics(loop, index, layer, 8), attention_modules(layer)
    generator = torch.Generator().manual_seed(0)
    for name in metrics:
        weight, bias = linear(layer, name).weight, linear(layer, name).bias
        noise = torch.randn(weight.shape, generator=generator)
        set_linear(layer, name, weight + 1e-3 * noise, bias)
    changed = attention_modules(layer)
    errors = joint_errors(loop, index, layer, dense, metrics, 8)
    assert attention_modules(layer) == changed
    assert 0 < errors["measured"] < 0.1
    assert math.isclose(errors["predicted"], errors["measured"], rel_tol=0.1)


def test_a_sparsity_that_the_floors_cannot_meet_names_the_nearest(tiny_folder: Path, compressed: Compress) -> None:
    with pytest.raises(LorapError, match=r"at least 0.15 of every piece stays, .* the nearest is 0.8") as refused:
        compressed(tiny_folder, 0.9)
    nearest = float(str(refused.value).partition("nearest is ")[2].split(",")[0])
    plan, _ = compressed(tiny_folder, nearest)
    assert plan.removed >= nearest
