"""A factored folder on a machine that has transformers but not lorap."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from lorap.model.folder import load_model
from tests.compare import compressed
from tests.conftest import FAMILIES, save_random_model

pytestmark = pytest.mark.system

PROMPT = [[1, 20, 33, 47, 51, 66]]
STRANGER = """
import json, sys

class NoLorap:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "lorap":
            raise ImportError(name)

sys.meta_path.insert(0, NoLorap())
import torch
from transformers import AutoModelForCausalLM

def load(folder, **trust):
    try:
        return AutoModelForCausalLM.from_pretrained(folder, **trust).eval(), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"

def look(folder, prompt):
    untrusted, refusal = load(folder)
    if untrusted is not None:
        return {"loaded_untrusted": type(untrusted).__name__}
    model, error = load(folder, trust_remote_code=True)
    if model is None:
        return {"refusal": refusal, "error": error}
    settings = {"max_new_tokens": 30, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    cached, uncached = (
        model.generate(prompt, use_cache=cache, output_logits=True, return_dict_in_generate=True, **settings)
        for cache in (True, False)
    )
    return {
        "refusal": refusal,
        "logits": cached.logits[0][0].tolist(),
        "tokens": cached.sequences[0].tolist(),
        "tokens_uncached": uncached.sequences[0].tolist(),
        "cache_error": max((a - b).abs().max().item() for a, b in zip(cached.logits, uncached.logits)),
    }

prompt = torch.tensor(json.loads(sys.argv[1]))
models = [look(folder, prompt) for folder in sys.argv[2:]]
print()  # ends the question about trust that nobody answers
print(json.dumps({"lorap": "lorap" in sys.modules, "models": models}))
"""


def as_a_stranger(folders: Iterable[Path], cache: Path) -> dict[str, Any]:
    """What a new process sees that cannot import lorap, has no answer to a question, and no network."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, json.dumps(PROMPT), *map(str, folders)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=cache,
        env={"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.fixture(scope="module")
def factored(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, windows: Tensor) -> dict[str, Path]:
    """The factored form of every family, with both an FFN of fewer channels and one of low rank."""
    root = tmp_path_factory.mktemp("factored")
    folders = {}
    for name, config in FAMILIES.items():
        dense = save_random_model(config(), root / name, tokenizer_folder)
        for ffn in ("prune", "decompose"):
            folders[f"{name}-{ffn}"] = compressed(dense, root / f"{name}-{ffn}", windows, ffn=ffn)
    return folders


@pytest.fixture(scope="module")
def seen(factored: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """One process for all, because it takes seconds to start."""
    report = as_a_stranger(factored.values(), tmp_path_factory.mktemp("stranger"))
    assert not report["lorap"]
    return dict(zip(factored, report["models"], strict=True))


NAMES = [f"{family}-{ffn}" for family in FAMILIES for ffn in ("prune", "decompose")]


@pytest.mark.system
@pytest.mark.parametrize("name", NAMES)
def test_without_lorap_and_without_the_flag_loading_raises(seen: dict[str, dict[str, Any]], name: str) -> None:
    assert "trust_remote_code" in seen[name]["refusal"]


@pytest.mark.parametrize("name", NAMES)
def test_without_lorap_the_model_computes_what_it_computes_with_it(
    seen: dict[str, dict[str, Any]], factored: dict[str, Path], name: str
) -> None:
    with torch.no_grad():
        logits = load_model(factored[name])(torch.tensor(PROMPT)).logits[0, -1]
    torch.testing.assert_close(torch.tensor(seen[name]["logits"]), logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_generation_with_a_cache_is_generation_without(seen: dict[str, dict[str, Any]], name: str) -> None:
    assert len(seen[name]["tokens"]) == len(PROMPT[0]) + 30
    assert seen[name]["tokens"] == seen[name]["tokens_uncached"]
    assert seen[name]["cache_error"] < 1e-4


def test_a_stock_class_refuses_a_factored_folder_or_reports_what_it_lacks(factored: dict[str, Path]) -> None:
    with pytest.raises(RuntimeError):
        LlamaForCausalLM.from_pretrained(factored["llama-gqa-prune"])
    _, report = LlamaForCausalLM.from_pretrained(factored["llama-gqa-decompose"], output_loading_info=True)
    assert "model.layers.0.self_attn.q_proj.weight" in report["missing_keys"]
