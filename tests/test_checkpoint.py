"""What is stored is what was computed, in both forms, for every family, and nothing beside the weights is lost."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from lorap.compression.dense import export_dense
from lorap.compression.loop import LayerLoop
from lorap.compression.planning import plan_model
from lorap.compression.run import compress_layer
from lorap.errors import LorapError
from lorap.model.folder import load_model, read_config
from lorap.model.tokenizer import load_tokenizer
from tests.compare import BOUND, CPU, compressed, method_of, total_variation
from tests.conftest import FAMILIES, save_random_model

pytestmark = pytest.mark.thorough

FFN_FORMS = ["prune", "decompose"]


def exported(factored: Path, out: Path) -> Path:
    out.mkdir()
    export_dense(factored, out)
    return out


def in_memory(folder: Path, input_ids: Tensor) -> list[dict[str, Tensor]]:
    """The layers as the loop leaves them, before anything is written."""
    method = method_of()
    plan = plan_model(read_config(folder), method, 0.5)
    loop = LayerLoop(plan.dense, folder, input_ids, torch.float32, CPU, batch=16)
    layers = []
    for index, layer in loop:
        compress_layer(loop, index, layer, plan, method)
        layers.append({name: tensor.clone() for name, tensor in layer.state_dict().items()})
    return layers


def test_a_reloaded_model_has_the_layers_that_were_computed_and_the_rest_of_the_original(
    family_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    loaded = load_model(compressed(family_folder, tmp_path / "out", windows))
    for layer, expected in zip(loaded.model.layers, in_memory(family_folder, windows), strict=True):
        torch.testing.assert_close(dict(layer.state_dict()), expected, rtol=0, atol=0)
    original = load_model(family_folder).state_dict()
    for name, tensor in loaded.state_dict().items():
        if ".layers." not in name or "norm" in name:
            assert torch.equal(tensor, original[name]), name


@pytest.mark.parametrize("ffn", FFN_FORMS)
def test_the_export_is_a_stock_model_of_the_family_that_says_the_same(
    family_folder: Path, windows: Tensor, tmp_path: Path, ffn: str
) -> None:
    factored = compressed(family_folder, tmp_path / "factored", windows, ffn=ffn)
    dense, report = AutoModelForCausalLM.from_pretrained(
        exported(factored, tmp_path / "dense"), output_loading_info=True
    )
    assert type(dense) is type(load_model(family_folder))
    assert not any(report.values())
    assert total_variation(load_model(factored), dense.eval(), windows) < BOUND


@pytest.mark.parametrize("ffn", FFN_FORMS)
def test_compressing_into_the_dense_form_is_compressing_and_exporting(
    family_folder: Path, windows: Tensor, tmp_path: Path, ffn: str
) -> None:
    at_once = compressed(family_folder, tmp_path / "at-once", windows, ffn=ffn, form="dense")
    later = exported(compressed(family_folder, tmp_path / "factored", windows, ffn=ffn), tmp_path / "later")
    torch.testing.assert_close(
        load_file(at_once / "model.safetensors"), load_file(later / "model.safetensors"), rtol=0, atol=0
    )
    assert (at_once / "config.json").read_text() == (later / "config.json").read_text()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_model_stays_one(
    tokenizer_folder: Path, windows: Tensor, tmp_path: Path, dtype: torch.dtype
) -> None:
    config = FAMILIES["llama-gqa"]()
    config.dtype = dtype
    half = save_random_model(config, tmp_path / "half", tokenizer_folder)
    factored = compressed(half, tmp_path / "factored", windows)
    at_once = compressed(half, tmp_path / "dense", windows, form="dense")
    for folder in (half, factored, at_once, exported(factored, tmp_path / "exported")):
        assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {dtype}
        assert load_model(folder).dtype == dtype


def test_another_dtype_can_be_asked_for(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    out = compressed(tiny_folder, tmp_path / "out", windows, dtype="bfloat16")
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    assert load_model(out).dtype == torch.bfloat16


def test_tokenizer_generation_settings_and_chat_template_travel_with_the_model(
    tokenizer_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    folder = save_random_model(FAMILIES["llama-gqa"](), tmp_path / "chat", tokenizer_folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    (folder / "generation_config.json").write_text('{"temperature": 0.25, "do_sample": true}')
    factored = compressed(folder, tmp_path / "factored", windows)
    for out in (factored, exported(factored, tmp_path / "dense")):
        tokenizer = load_tokenizer(out)
        assert tokenizer("a class body")["input_ids"] == load_tokenizer(folder)("a class body")["input_ids"]
        chat = [{"role": "user", "content": "hello"}]
        assert tokenizer.apply_chat_template(chat, tokenize=False) == "hello!"
        assert load_model(out).generation_config.temperature == 0.25


def test_a_sharded_checkpoint_gives_the_result_of_a_single_file(
    tokenizer_folder: Path, tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    shards = save_random_model(FAMILIES["llama-gqa"](), tmp_path / "shards", tokenizer_folder, max_shard_size="50KB")
    assert len(list(shards.glob("*.safetensors"))) > 2
    assert not (shards / "model.safetensors").exists()
    one, other = (compressed(source, tmp_path / f"{source.name}-out", windows) for source in (shards, tiny_folder))
    torch.testing.assert_close(
        load_file(one / "model.safetensors"), load_file(other / "model.safetensors"), rtol=0, atol=0
    )


@pytest.mark.parametrize("form", ["factored", "dense"])
def test_tied_heads_stay_tied_and_others_stay_apart(
    family_folder: Path, windows: Tensor, tmp_path: Path, form: str
) -> None:
    def is_tied(model: PreTrainedModel) -> bool:
        return model.lm_head.weight is model.model.embed_tokens.weight

    out = compressed(family_folder, tmp_path / "out", windows, form=form)
    tied = is_tied(load_model(family_folder))
    assert is_tied(load_model(out)) == tied
    assert ("lm_head.weight" in load_file(out / "model.safetensors")) == (not tied)


def test_biases_of_factored_projections_survive(tokenizer_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    folder = save_random_model(FAMILIES["qwen2"](), tmp_path / "qwen2", tokenizer_folder)
    before = load_model(folder).model.layers
    factored = compressed(folder, tmp_path / "factored", windows)
    dense = exported(factored, tmp_path / "dense")
    for old, small, stock in zip(
        before, load_model(factored).model.layers, load_model(dense).model.layers, strict=True
    ):
        for name in ("q_proj", "k_proj", "v_proj"):
            bias = getattr(old.self_attn, name).bias
            assert bias.abs().min() > 0
            assert torch.equal(getattr(small.self_attn, name).left.bias, bias)
            assert torch.equal(getattr(stock.self_attn, name).bias, bias)
        assert small.self_attn.o_proj.left.bias is None


def test_a_factored_model_is_not_compressed_again_and_a_stock_one_not_exported(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    factored = compressed(tiny_folder, tmp_path / "factored", windows)
    with pytest.raises(LorapError, match="factored model already"):
        compressed(factored, tmp_path / "again", windows)
    with pytest.raises(LorapError, match="nothing to export"):
        exported(tiny_folder, tmp_path / "stock")


def test_a_rank_of_one_is_written_too(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    out = compressed(tiny_folder, tmp_path / "out", windows, sparsity=0.95)
    assert 1 in read_config(out).lorap["layers"][0]["ranks"].values()
    assert torch.isfinite(load_model(out)(windows).logits).all()
