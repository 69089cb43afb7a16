"""What a plan can say, the format holds: the model has the planned shapes, loads, exports, generates and tunes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from lorap.artifacts.specs import RedecomposeSpec
from lorap.compression.dense import export_dense
from lorap.compression.planning import dense_config, plan_model
from lorap.errors import LorapError
from lorap.methods.uniform import Uniform
from lorap.model.counting import count_macs, count_parameters
from lorap.model.family import has, layer_shapes, projection
from lorap.model.folder import load_model, read_config, skeleton
from lorap.model.layer_plan import PROJECTIONS, LayerPlan
from lorap.tuning.loading import load_tuned
from lorap.tuning.rejoin import redecompose
from tests.adapters import random_adapter
from tests.compare import CPU, method_of, total_variation
from tests.conftest import FAMILIES, SMALL
from tests.plans import planned_folder
from tests.test_portable import as_a_stranger

pytestmark = pytest.mark.thorough

FORMAT1 = Path(__file__).parent / "data" / "format1"  # written by lorap 0.1.0, with the logits that it computed
SEEDS = range(4)
IDS = torch.randint(3, 300, (3, 20), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module", params=[(family, seed) for family in FAMILIES for seed in SEEDS], ids=str)
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[LayerPlan]]:
    """A random model of a random plan, of every family."""
    family, seed = request.param
    return planned_folder(FAMILIES[family](), tmp_path_factory.mktemp(f"{family}-{seed}"), seed)


def base_of(folder: Path) -> PreTrainedConfig:
    config = read_config(folder)
    base: PreTrainedConfig = config.base_config()
    return base


def test_a_folder_of_the_first_format_loads_and_computes_what_it_did() -> None:
    expected = load_file(FORMAT1 / "expected.safetensors")
    with torch.no_grad():
        logits = load_model(FORMAT1)(expected["input_ids"], use_cache=False).logits
    torch.testing.assert_close(logits, expected["logits"], rtol=0, atol=1e-5)


def test_a_folder_of_the_first_format_exports_and_is_a_plan_of_today(tmp_path: Path) -> None:
    export_dense(FORMAT1, tmp_path)
    stock = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = load_file(FORMAT1 / "expected.safetensors")["input_ids"]
    assert total_variation(load_model(FORMAT1), stock, ids) < 1e-5
    shape = layer_shapes(skeleton(base_of(FORMAT1)))[0]
    plan = LayerPlan.from_dict(json.loads((FORMAT1 / "config.json").read_text())["lorap"]["layers"][0], shape, 0)
    assert (plan.kv_heads, plan.heads, plan.value_dim, plan.shared, plan.biases) == (2, 4, 8, (), ())


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    for file in FORMAT1.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["lorap"]["version"] = 4
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(LorapError, match=r"lorap\.version is 4, this lorap reads up to 3"):
        export_dense(tmp_path, tmp_path / "out")


def test_a_model_has_the_shapes_and_the_size_of_its_plan(planned: tuple[Path, list[LayerPlan]]) -> None:
    folder, plans = planned
    model, shapes = load_model(folder), layer_shapes(skeleton(base_of(folder)))
    stored = 0
    for layer, plan, shape in zip(model.model.layers, plans, shapes, strict=True):
        for name in PROJECTIONS:
            module = projection(layer, name) if has(layer, name) else None
            size = (module.out_features, module.in_features) if module is not None else None
            assert size in (plan.sizes(shape)[name], None)
        kept = [(n, p.numel()) for n, p in layer.named_parameters() if "layernorm" not in n and "_norm." not in n]
        own = {f"{name}.bias" for name in shape.biased}
        stored += plan.stored(shape)
        counted = sum(size for name, size in kept if "bias" not in name)
        counted += sum(shape.sizes[name][0] for name in plan.biases if f"{name}.bias" not in own)
        assert counted == plan.stored(shape)
    assert count_parameters(model) > stored


def test_the_export_of_any_plan_is_a_stock_model_that_says_the_same(
    planned: tuple[Path, list[LayerPlan]], tmp_path: Path
) -> None:
    folder, _ = planned
    export_dense(folder, tmp_path)
    stock, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert stock.config.model_type == base_of(folder).model_type
    assert not any(report.values())
    assert total_variation(load_model(folder), stock.eval(), IDS) < 1e-4


def test_a_cache_changes_nothing_even_where_layers_have_no_attention(planned: tuple[Path, list[LayerPlan]]) -> None:
    model = load_model(planned[0])
    with torch.no_grad():
        whole = model(IDS, use_cache=False).logits
        begun = model(IDS[:, :12], use_cache=True)
        rest = model(IDS[:, 12:], past_key_values=begun.past_key_values, use_cache=True)
    torch.testing.assert_close(torch.cat([begun.logits, rest.logits], 1), whole, rtol=0, atol=1e-3)


def test_an_adapter_stands_beside_any_form_and_joins_it_without_loss(
    planned: tuple[Path, list[LayerPlan]], tmp_path: Path
) -> None:
    folder, _ = planned
    adapter = random_adapter(folder, tmp_path / "adapter")
    (tmp_path / "exact").mkdir()
    redecompose(RedecomposeSpec(rank="k+r", batch=4), folder, adapter, None, tmp_path / "exact", CPU, quiet=True)
    tuned = load_tuned(folder, adapter)
    assert total_variation(tuned, load_model(tmp_path / "exact"), IDS) < 1e-4
    with tuned.disable_adapter(), torch.no_grad():
        torch.testing.assert_close(tuned(IDS).logits, load_model(folder)(IDS).logits, rtol=0, atol=1e-4)
    half = load_tuned(folder, adapter, torch.bfloat16)
    with torch.no_grad():
        assert torch.isfinite(half(IDS).logits).all()


def test_who_has_no_lorap_loads_any_plan(tmp_path: Path) -> None:
    folders = [planned_folder(FAMILIES[family](), tmp_path / family, seed=4)[0] for family in FAMILIES]
    for folder in folders:
        _complete(folder)
    seen: dict[str, Any] = as_a_stranger(folders, tmp_path)
    assert not seen["lorap"]
    for folder, model in zip(folders, seen["models"], strict=True):
        with torch.no_grad():
            logits: Tensor = load_model(folder)(torch.tensor([[5, 17, 250, 33]])).logits[0, -1]
        assert model["cache_error"] < 1e-3
        assert len(model["logits"]) == len(logits)


def _complete(folder: Path) -> None:
    """Adds the file that travels, which ``save_pretrained`` does not know."""
    from lorap.model import modeling_lorap

    code = Path(modeling_lorap.__file__)
    (folder / code.name).write_bytes(code.read_bytes())


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "helium", "seed_oss"])
def test_a_bias_that_a_stock_class_has_no_place_for_is_refused_with_the_reason(family: str) -> None:
    small = AutoConfig.for_model(family, **SMALL, num_key_value_heads=2)
    plan = replace(LayerPlan.dense(layer_shapes(skeleton(small))[0]), biases=("down_proj", "o_proj"))
    with pytest.raises(LorapError, match=f"_proj has gained a bias, for which a stock {family} has no place"):
        dense_config(small, [plan] * 3)


class HalfTheHeads(Uniform):
    """A share that leaves one key-value head."""

    def allot(self, *arguments: Any) -> list[LayerPlan]:
        return [replace(plan, heads=2, kv_heads=1) for plan in super().allot(*arguments)]


@pytest.mark.parametrize("family", ["olmo2", "olmo3", "stablelm", "diffllama", "doge", "qwen3"])
def test_families_that_count_on_their_heads_do_not_lose_them(family: str) -> None:
    small = AutoConfig.for_model(family, **SMALL, num_key_value_heads=2, head_dim=16, pad_token_id=0)
    method = method_of(attention="none", ffn="none").model_copy(update={"share": HalfTheHeads()})
    if family == "qwen3":
        assert plan_model(small, method, 0.5).compressed.model.layers[0].self_attn.k_proj.out_features == 16
        return
    with pytest.raises(LorapError, match=r"Attention: its heads cannot be removed \(.*choose a treatment that keeps"):
        plan_model(small, method, 0.5)


def test_multiply_accumulates_count_narrow_heads_and_absent_layers(planned: tuple[Path, list[LayerPlan]]) -> None:
    folder, plans = planned
    model, shapes = load_model(folder), layer_shapes(skeleton(base_of(folder)))
    widths = sum(
        plan.heads * shape.head_dim + plan.sizes(shape)["o_proj"][1] for plan, shape in zip(plans, shapes, strict=True)
    )
    difference = count_macs(model, 20) - 2 * count_macs(model, 10)  # what is linear in the tokens cancels out
    assert difference == (400 - 200) * widths
