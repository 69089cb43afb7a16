"""The command line: the whole chain from a text file to numbers, what it prints, and what it must not import."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from lorap.data.corpora import pydoc_rows
from lorap.files import sha256_file
from tests.command import call, faults, launch, succeed

META = {"spec", "inputs", "origin", "id", "sha256", "versions", "git_commit", "device", "wall_seconds"}


@pytest.fixture(scope="module")
def chain(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text of one's own, where no params.yaml is, and the artifacts that every test may read."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "book.txt").write_text("\n\n".join(pydoc_rows("tuning")[:6]))
    text = ("--text", folder / "book.txt")
    calibration = folder / "calibration.safetensors"
    succeed("calibrate", "--model", tiny_folder, *text, "--nsamples", 12, "--seqlen", 24, "--out", calibration)
    make(tiny_folder, folder, "small")
    return folder


def make(model: Path, folder: Path, out: str, *options: object) -> Path:
    """A model compressed with the chain's calibration, at sparsity 0.5 unless the options say otherwise."""
    data = ("--calibration", folder / "calibration.safetensors")
    succeed("compress", "--model", model, *data, "--sparsity", 0.5, *options, "--out", folder / out)
    return folder / out


def meta_of(artifact: Path) -> dict[str, Any]:
    inside = artifact / "meta.json"
    return json.loads((inside if artifact.is_dir() else artifact.with_name(f"{artifact.name}.meta.json")).read_text())


def test_a_plan_is_json_alone_and_of_the_size_that_compression_makes(tiny_folder: Path, chain: Path) -> None:
    plan = json.loads(succeed("plan", "--model", tiny_folder, "--sparsity", 0.5, "--json"))
    from_config = json.loads(succeed("plan", "--model", tiny_folder / "config.json", "--sparsity", 0.5, "--json"))
    assert plan == from_config
    assert set(plan) == {"parameters", "macs", "tokens", "linear_parameters", "removed", "layers"}
    assert plan["tokens"] == 64
    with safe_open(chain / "small" / "model.safetensors", framework="pt") as file:
        sizes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    assert plan["parameters"] == sum(torch.Size(shape).numel() for shape in sizes.values())
    for index, layer in enumerate(plan["layers"]):
        at = f"model.layers.{index}"
        assert layer["ranks"]["q_proj"] == sizes[f"{at}.self_attn.q_proj.right.weight"][0]
        assert layer["channels"] == sizes[f"{at}.mlp.up_proj.weight"][0]


def test_a_plan_of_the_dense_form_is_of_its_size(tiny_folder: Path) -> None:
    of_form = {
        form: json.loads(succeed("plan", "--model", tiny_folder, "--sparsity", 0.5, "--form", form, "--json"))
        for form in ("factored", "dense")
    }
    assert of_form["dense"]["layers"] == of_form["factored"]["layers"]
    assert of_form["dense"]["parameters"] > of_form["factored"]["parameters"]
    assert faults(call("plan", "--model", tiny_folder, "--sparsity", 0.5, "--form", "sparse"))[0].startswith(
        "option: form: got 'sp"
    )


def test_every_artifact_says_what_it_is_made_of(tiny_folder: Path, chain: Path) -> None:
    calibration, small = meta_of(chain / "calibration.safetensors"), meta_of(chain / "small")
    for meta in (calibration, small):
        assert set(meta) == META
        assert meta["versions"].keys() >= {"python", "torch", "transformers"}
        assert len(meta["spec"]["code"]) == 16
    assert small["inputs"]["calibration"] == calibration["id"]
    assert small["inputs"]["model"] == calibration["inputs"]["model"]
    assert calibration["sha256"] == sha256_file(chain / "calibration.safetensors")
    assert small["sha256"]["model.safetensors"] == sha256_file(chain / "small" / "model.safetensors")
    assert small["spec"]["method"]["attention"] == {"name": "awsvd", "allocation": 3.0}


def test_a_compressed_model_is_evaluated_measured_and_exported(tiny_folder: Path, chain: Path) -> None:
    model, text = ("--model", chain / "small"), ("--text", chain / "book.txt")
    perplexity = succeed("evaluate", "perplexity", *model, *text, "--windows", 4, "--json", "--out", chain / "p.json")
    assert json.loads(perplexity) == json.loads((chain / "p.json").read_text())
    assert json.loads(perplexity)["tokens"] == 4 * 127
    cost = json.loads(succeed("evaluate", "cost", *model, "--json", "--out", chain / "c.json"))
    plan = json.loads(succeed("plan", "--model", tiny_folder, "--sparsity", 0.5, "--json"))
    assert (cost["parameters"], cost["macs"]) == (plan["parameters"], plan["macs"])
    succeed("export", *model, "--out", chain / "stock")
    stock = AutoModelForCausalLM.from_pretrained(chain / "stock")
    assert type(stock).__name__ == "LlamaForCausalLM"
    data = ("--calibration", chain / "calibration.safetensors")
    succeed("evaluate", "spectra", "--model", tiny_folder, *data, "--out", chain / "s.json")
    for artifact in ("p.json", "c.json", "s.json", "stock"):
        assert set(meta_of(chain / artifact)) == META
    assert meta_of(chain / "stock")["inputs"]["model"] == meta_of(chain / "small")["id"]


def test_a_person_is_shown_the_numbers_and_where_they_are(chain: Path) -> None:
    model, text = ("--model", chain / "small"), ("--text", chain / "book.txt")
    shown = succeed("evaluate", "perplexity", *model, *text, "--windows", 2, "--out", chain / "shown.json")
    number = json.loads((chain / "shown.json").read_text())["perplexity"]
    assert f"perplexity: {number:,.4f}" in shown
    assert f"{chain / 'shown.json'}: written" in shown


def test_a_person_is_shown_what_a_plan_does(tiny_folder: Path) -> None:
    parameters = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_pretrained(tiny_folder).parameters())
    plan = json.loads(succeed("plan", "--model", tiny_folder, "--sparsity", 0.5, "--json"))
    shown = succeed("plan", "--model", tiny_folder, "--sparsity", 0.5)
    assert f"{parameters:,} -> {plan['parameters']:,}" in shown
    assert f"q_proj {plan['layers'][0]['ranks']['q_proj']}  " in shown


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        (["--attention", "svd"], {"method": {"attention": {"name": "svd", "allocation": 3.0}}}),
        (
            ["--attention", "none", "--ffn", "decompose"],
            {"method": {"attention": {"name": "none"}, "ffn": {"name": "decompose", "factorisation": None}}},
        ),
        (["--ffn", "none"], {"method": {"ffn": {"name": "none"}}}),
        (["--allocation", "1"], {"method": {"attention": {"name": "awsvd", "allocation": 1.0}}}),
        (["--keep-least", "0.2"], {"method": {"ffn": {"name": "prune", "keep_least": 0.2}}}),
        (
            ["--method", "afm", "--sparsity", "0.2"],
            {"method": {"attention": {"name": "afm", "allocation": 3.0}}, "sparsity": 0.2},
        ),
        (["--form", "dense"], {"form": "dense"}),
        (["--dtype", "bfloat16"], {"dtype": "bfloat16"}),
        (["--batch", "5"], {"batch": 5}),
    ],
    ids=str,
)
def test_an_option_overrides_the_method_without_a_params_file(
    tiny_folder: Path, chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], spec: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    made = make(tiny_folder, chain, str(tmp_path / "made"), *options)
    usual, found = ({**meta_of(folder)["spec"], "code": ""} for folder in (chain / "small", made))
    method = usual["method"] | spec.get("method", {})
    assert found == usual | spec | {"method": method}
    if options[0] not in ("--batch", "--keep-least"):
        assert sha256_file(made / "model.safetensors") != sha256_file(chain / "small" / "model.safetensors")


def test_the_same_settings_give_the_same_bytes(tiny_folder: Path, chain: Path, tmp_path: Path) -> None:
    again = make(tiny_folder, chain, str(tmp_path / "again"))
    for name in ("model.safetensors", "config.json", "layers.json"):
        assert (again / name).read_bytes() == (chain / "small" / name).read_bytes()
    assert meta_of(again)["id"] == meta_of(chain / "small")["id"]


def test_a_folder_of_ours_is_replaced_whole(tiny_folder: Path, chain: Path, tmp_path: Path) -> None:
    out = make(tiny_folder, chain, str(tmp_path / "out"))
    make(tiny_folder, chain, str(out), "--form", "dense")
    assert not (out / "modeling_lorap.py").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.system
def test_as_a_process_of_its_own_it_prints_no_more(tiny_folder: Path, chain: Path, tmp_path: Path) -> None:
    data = ("--model", tiny_folder, "--text", chain / "book.txt", "--windows", 1)
    done = launch(tmp_path, "evaluate", "perplexity", *data, "--json", "--out", "p.json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == json.loads((tmp_path / "p.json").read_text())
