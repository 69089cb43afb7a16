"""Tiny random models of every family, a tiny tokenizer, and the real data where it is present."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from lorap.data.corpora import pydoc_rows
from tests.tokenizer import small_tokenizer
from tests.whole_tree import fill_working_folder
from tests.workflow import Checkout, make_checkout

os.environ.setdefault("LORAP_DEVICE", "cpu")  # what `auto` means in tests; `make test-gpu` says cuda
settings.register_profile("lorap", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("lorap")

VOCABULARY = 300
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama-mha": lambda: LlamaConfig(**SMALL, num_key_value_heads=4, tie_word_embeddings=False),
    "llama-gqa": lambda: LlamaConfig(**SMALL, num_key_value_heads=2, tie_word_embeddings=True),
    "mistral": lambda: MistralConfig(**SMALL, num_key_value_heads=2, head_dim=16, sliding_window=16),
    "qwen2": lambda: Qwen2Config(**SMALL, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=16, tie_word_embeddings=False),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """System tests first, the longest; while one worker makes the run that many need, the other has those without."""

    def turn(item: pytest.Item) -> int:
        if item.get_closest_marker("system") is None:
            return 3
        made = {"made", "copy_of_made"} & set(getattr(item, "fixturenames", ()))
        return 0 if item.path.name == "test_workflow.py" else 2 if made else 1

    items.sort(key=turn)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer of 300 tokens, trained on the Python reference."""
    folder = tmp_path_factory.mktemp("tokenizer")
    small_tokenizer(VOCABULARY).save_pretrained(folder)
    return folder


def save_random_model(config: PreTrainedConfig, folder: Path, tokenizer: Path, **save: Any) -> Path:
    """A random model with biases and norms that are not trivial, in a folder with a tokenizer."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.5)
            elif parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(std=0.15)
    model.save_pretrained(folder, **save)
    for file in tokenizer.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture(scope="session", params=list(FAMILIES))
def family_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path
) -> Path:
    """The folder of a tiny random model, of every family in turn."""
    config = FAMILIES[request.param]()
    return save_random_model(config, tmp_path_factory.mktemp(request.param), tokenizer_folder)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """The folder of one tiny random model, a grouped-query LLaMA with tied embeddings."""
    return save_random_model(FAMILIES["llama-gqa"](), tmp_path_factory.mktemp("tiny"), tokenizer_folder)


@pytest.fixture(scope="session")
def windows() -> torch.Tensor:
    """Calibration windows of random ids: (12, 24)."""
    return torch.randint(3, VOCABULARY, (12, 24), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def lorap_data() -> Path:
    """The folder of real data (LORAP_DATA, else ../shared beside the project); skips where it is absent."""
    folder = Path(os.environ.get("LORAP_DATA", Path(__file__).parents[2] / "shared"))
    if not (folder / "data" / "MANIFEST.json").is_file():
        pytest.skip(f"no real data at {folder}; set LORAP_DATA")
    return folder


@pytest.fixture(scope="session")
def stories(lorap_data: Path) -> Path:
    """The folder of a real LLaMA of 260K parameters."""
    return lorap_data / "models" / "stories260K"


@pytest.fixture
def work(tmp_path: Path, tiny_folder: Path, windows: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a command: a good model, a text, and a calibration file of another tool."""
    (tmp_path / "model").symlink_to(tiny_folder)
    (tmp_path / "book.txt").write_text(pydoc_rows("tuning")[0])
    save_file({"input_ids": windows}, tmp_path / "c.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results of a working folder with every artifact of a small grid, its bytes made up."""
    monkeypatch.chdir(tmp_path)
    fill_working_folder()
    return tmp_path / "results/small"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Checkout:
    """A checkout of the workflow in which `snakemake` has run once; workers of one run copy it from the first."""
    base = tmp_path_factory.getbasetemp()
    first = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "first"
    with FileLock(f"{first}.lock"):
        if not first.exists():
            checkout = make_checkout(tmp_path_factory.mktemp("made") / "checkout", tiny_folder)
            checkout.commit()
            checkout.run("snakemake")
            checkout.folder.rename(first)
    return Checkout(Path(shutil.copytree(first, tmp_path_factory.mktemp("copy") / "checkout", symlinks=True)))


@pytest.fixture
def copy_of_made(made: Checkout, tmp_path: Path) -> Checkout:
    """The same, free to be changed; times of files are kept."""
    return Checkout(Path(shutil.copytree(made.folder, tmp_path / "checkout", symlinks=True)))
