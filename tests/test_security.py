"""What comes from others is data: no pickle is read, and no code of a folder is run or passed on."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from lorap.artifacts.specs import TuneSpec
from lorap.files import sha256_file, write_json
from lorap.model import modeling_lorap
from lorap.tuning.checkpoints import HASHES, last_checkpoint
from lorap.tuning.train import train
from tests.adapters import TUNE, random_adapter
from tests.command import call, fault, succeed
from tests.gguf_file import write_gguf
from tests.hostile import Bomb, bomb, change, code, plant, was_run

pytestmark = pytest.mark.thorough

OWN = Path(modeling_lorap.__file__)
TUNING = ("--form", "factored", "--cutoff", 16, "--rows", 12, "--held-out", 4, "--batch", 4, "--micro-batch", 4,
          "--max-steps", 1, "--evaluate-every", 1)  # fmt: skip
TRUSTING = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
for folder in sys.argv[1:]:
    for kind in (AutoTokenizer, AutoModelForCausalLM):
        try:
            kind.from_pretrained(folder, trust_remote_code=True)
        except Exception as error:
            print(folder, type(error).__name__)
"""


@pytest.fixture
def own_model(work: Path, tiny_folder: Path) -> Path:
    """The model of the working folder, as a copy that may be changed."""
    (work / "model").unlink()
    return Path(shutil.copytree(tiny_folder, work / "model"))


def load_trusting(work: Path, *folders: str) -> str:
    """Loads models and tokenizers as somebody who trusts all code, without lorap; returns what failed."""
    own = {"HF_HOME": str(work / "hf"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-I", "-c", TRUSTING, *folders]
    return subprocess.run(command, cwd=work, env=os.environ | own, capture_output=True, text=True, check=True).stdout


@pytest.mark.system
def test_the_bombs_of_these_tests_go_off(own_model: Path, work: Path) -> None:
    plant(own_model, work)
    load_trusting(work, "model")
    assert was_run(work)
    (work / "b").mkdir()
    pickle.loads(bomb(work / "b"))  # noqa: S301
    assert was_run(work / "b")


@pytest.mark.system
def test_a_folder_full_of_code_is_a_model_like_any_other(own_model: Path, work: Path) -> None:
    plant(own_model, work)
    succeed("plan", "--model", "model", "--sparsity", 0.5)
    succeed("calibrate", "--model", "model", "--text", "book.txt", "--nsamples", 4, "--seqlen", 8, "--out", "own.st")
    compress = ("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5)
    succeed("fetch", "model", "--out", "fetched")
    succeed(*compress, "--out", "small")
    succeed(*compress, "--form", "dense", "--out", "dense")
    succeed("tune", "--model", "small", "--data", "book.txt", *TUNING, "--out", "adapter")
    succeed("redecompose", "--model", "small", "--adapter", "adapter", "--out", "tuned")
    succeed("export", "--model", "tuned", "--out", "exported")
    for measure in (("perplexity", "--text", "book.txt", "--windows", 1), ("cost",), ("zeroshot", "--tasks", "pydoc")):
        options = ("--documents", 2) if measure[0] == "zeroshot" else ()
        succeed("evaluate", *measure, *options, "--model", "model", "--out", "out.json")
    succeed("evaluate", "spectra", "--model", "model", "--calibration", "c.safetensors", "--out", "out.json")
    for made in ("fetched", "small", "dense", "adapter", "tuned", "exported"):
        files = {file.name for file in (work / made).rglob("*")}
        factored = {OWN.name} if made in ("small", "tuned") else set()
        assert {name for name in files if name.endswith((".py", ".pkl", ".bin"))} == factored, made
    assert load_trusting(work, "fetched", "small", "dense", "exported") == ""
    assert not was_run(work)


@pytest.mark.parametrize("command", ["plan", "calibrate", "compress", "perplexity", "cost", "fetch"])
def test_an_architecture_that_only_its_own_code_knows_is_refused(own_model: Path, work: Path, command: str) -> None:
    plant(own_model, work)
    change(own_model / "config.json", model_type="evil", architectures=["Evil"])
    options = {
        "plan": ("plan", "--sparsity", 0.5, "--model"),
        "calibrate": ("calibrate", "--text", "book.txt", "--out", "out", "--model"),
        "compress": ("compress", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "out", "--model"),
        "perplexity": ("evaluate", "perplexity", "--text", "book.txt", "--out", "out", "--model"),
        "cost": ("evaluate", "cost", "--out", "out", "--model"),
        "fetch": ("fetch", "--out", "out"),
    }
    assert fault(call(*options[command], "model")).startswith("model/config.json: not a usable configuration (")
    assert not was_run(work)


@pytest.mark.parametrize("name", ["Evil", "tokenizer_evil.Evil", "PreTrainedTokenizerFast"])
def test_a_tokenizer_class_of_the_folder_is_not_loaded(own_model: Path, work: Path, name: str) -> None:
    plant(own_model, work)
    change(own_model / "tokenizer_config.json", tokenizer_class=name)
    done = call("calibrate", "--model", "model", "--text", "book.txt", "--nsamples", 2, "--seqlen", 8, "--out", "out")
    assert done.code == 0 or fault(done).startswith("model: tokenizer cannot be read (")
    assert not was_run(work)


def test_a_factored_model_is_read_by_the_installed_code(own_model: Path, work: Path) -> None:
    succeed("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "small")
    random_adapter(work / "small", work / "adapter")
    (work / "small" / OWN.name).write_text(code(work))
    succeed("evaluate", "cost", "--model", "small", "--out", "cost.json")
    succeed("export", "--model", "small", "--out", "exported")
    succeed("redecompose", "--model", "small", "--adapter", "adapter", "--out", "tuned")
    assert (work / "tuned" / OWN.name).read_bytes() == OWN.read_bytes()
    assert not was_run(work)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.pt"])
def test_weights_that_are_a_pickle_are_refused(own_model: Path, work: Path, name: str) -> None:
    (own_model / "model.safetensors").unlink()
    (own_model / name).write_bytes(bomb(work))
    for argv in (("evaluate", "cost", "--model", "model"), ("fetch", "model")):
        assert "safetensors" in fault(call(*argv, "--out", "out"))
    assert not was_run(work)


def test_a_calibration_file_that_is_a_pickle_is_refused(work: Path) -> None:
    (work / "c.safetensors").write_bytes(bomb(work))
    done = call("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "out")
    assert fault(done).startswith("c.safetensors: damaged or not safetensors (")
    assert not was_run(work)


def test_an_adapter_is_read_from_safetensors_alone_and_imports_nothing(
    own_model: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = random_adapter(own_model, work / "adapter")
    (adapter / "adapter_model.bin").write_bytes(bomb(work))
    measure = ("evaluate", "cost", "--model", "model", "--adapter", "adapter", "--out", "cost.json")
    succeed(*measure)
    (work / "evil.py").write_text(code(work))
    monkeypatch.syspath_prepend(work)
    settings = (adapter / "adapter_config.json").read_text()
    for hostile in (
        {"auto_mapping": {"base_model_class": "Evil", "parent_library": "evil"}},
        {"megatron_config": {"x": 1}, "megatron_core": "evil"},
    ):
        change(adapter / "adapter_config.json", **hostile)
        assert fault(call(*measure)).startswith("adapter")
        (adapter / "adapter_config.json").write_text(settings)
    (adapter / "adapter_model.safetensors").unlink()
    assert fault(call(*measure)).startswith("adapter: no adapter there, expected adapter_config.json and ")
    assert not was_run(work)


def test_what_lies_beside_a_gguf_file_is_not_read(own_model: Path, work: Path) -> None:
    plant(own_model, work)
    change(own_model / "tokenizer_config.json", model_max_length=7, tokenizer_class="Evil")
    write_gguf(own_model, own_model / "tiny.gguf")
    succeed("fetch", "model/tiny.gguf", "--dtype", "float32", "--out", "out")
    assert not was_run(work)
    assert json.loads((work / "out" / "tokenizer_config.json").read_text())["model_max_length"] != 7


def seal(checkpoint: Path) -> None:
    """What who plants a file can do as well."""
    files = [file for file in checkpoint.iterdir() if file.name != HASHES]
    write_json(checkpoint / HASHES, {file.name: sha256_file(file) for file in files})


def test_a_planted_checkpoint_of_a_tuning_run_is_not_unpickled(work: Path) -> None:
    def tune(steps: int, checkpoints: Path) -> None:
        spec = TuneSpec(tune=TUNE.model_copy(update={"max_steps": steps}), source=None, seed=7)
        (out := checkpoints.with_suffix(".out")).mkdir()
        train(spec, work / "model", work / "book.txt", checkpoints, out, torch.device("cpu"), quiet=True)

    tune(2, work / "sound")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.bin", "training_args.bin"):
        place = Path(shutil.copytree(work / "sound", work / name))
        if name == "adapter_model.bin":
            (place / "checkpoint-2/adapter_model.safetensors").unlink()
        torch.save(Bomb(work), place / "checkpoint-2" / name)
        assert last_checkpoint(place) is None, "it is not what the run has sealed"
        seal(place / "checkpoint-2")
        with nullcontext() if name == "training_args.bin" else pytest.raises(pickle.UnpicklingError):
            tune(4, place)
        assert not was_run(work), name
