"""Model folders in the Hugging Face layout: reading, loading, and writing all that is not a weight."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from lorap.errors import LorapError
from lorap.files import read_json, write_json
from lorap.model import modeling_lorap
from lorap.model.family import decoder_layers
from lorap.model.layer_plan import Form
from lorap.model.modeling_lorap import LorapConfig, LorapForCausalLM
from lorap.model.stream import multiply_out, untied_state
from lorap.model.weights import WeightsReader

AutoConfig.register(LorapConfig.model_type, LorapConfig)
AutoModelForCausalLM.register(LorapConfig, LorapForCausalLM)

# What is copied from folder to folder: data by its kind, no code and no pickle, whatever its name begins with.
COMPANIONS = ("tokenizer*.json", "tokenizer*.model", "vocab*.json", "vocab*.txt", "merges.txt",
              "special_tokens_map.json", "added_tokens.json", "generation_config.json", "chat_template*.json",
              "chat_template*.jinja", "LICENSE", "LICENSE*.txt", "LICENSE*.md", "NOTICE", "NOTICE*.txt",
              "NOTICE*.md")  # fmt: skip
CODE = "auto_map"  # names classes in a folder's .py files or in another repository, for who trusts remote code
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
# What transformers raises for a configuration, weights or a tokenizer that it cannot use.
UNUSABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
            StrictDataclassError)  # fmt: skip
# Keys for which transformers silently puts in a size of its own.
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def read_config(path: Path) -> PreTrainedConfig:
    """The configuration in a model folder or in a config.json; no code of the folder is run.

    Raises:
        LorapError: Missing, not JSON, without its sizes, or of an architecture that transformers does not know.
    """
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise LorapError(f"{path}: no model there, expected a folder with a config.json; see 'lorap fetch --help'")
    raw = read_json(file)
    if not isinstance(raw, dict):
        raise LorapError(f"{file}: not a usable configuration (no JSON object)")
    for key in SIZES:
        if key in raw and (not isinstance(raw[key], int) or raw[key] < 1):
            raise LorapError(f"{file}: {key}: got {raw[key]!r}, expected a whole number of at least 1")
    try:
        config = AutoConfig.from_pretrained(file, trust_remote_code=False)
    except UNUSABLE as error:
        raise LorapError(f"{file}: not a usable configuration ({first_line(error)})") from error
    fields = config.to_dict()
    if missing := [key for key in SIZES if key in fields and key not in raw]:
        raise LorapError(f"{file}: {', '.join(missing)}: missing, required of a {config.model_type} model")
    return config


def skeleton(config: PreTrainedConfig) -> PreTrainedModel:
    """The model of a configuration without weights, on the meta device.

    Raises:
        LorapError: The architecture is not supported.
    """
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except UNUSABLE as error:
        raise LorapError(f"{config.model_type}: architecture not supported ({first_line(error)})") from error
    decoder_layers(model)
    return model.eval()


def load_model(
    folder: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu", form: Form = "factored"
) -> PreTrainedModel:
    """A model, dense or factored, from a folder, ready to be evaluated; ``dtype`` None keeps the folder's.

    ``form`` ``dense`` multiplies the factors out.

    Raises:
        LorapError: The folder is missing, damaged, incomplete or of another architecture.
    """
    config = read_config(folder)
    open_weights(folder, skeleton(config))
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype or config.dtype, trust_remote_code=False
        )
    except UNUSABLE as error:
        raise LorapError(f"{folder}: cannot be loaded ({first_line(error)})") from error
    if form == "dense":
        for layer in decoder_layers(model):
            multiply_out(layer)
    return model.to(device).eval()


def open_weights(folder: Path, model: PreTrainedModel) -> WeightsReader:
    """The weights of a folder, which are those of a model to the last name and shape; ``model`` is its skeleton.

    Raises:
        LorapError: A file is missing or damaged, or the weights and the configuration do not belong together.
    """
    weights = WeightsReader(folder)
    weights.require(untied_state(model), set(model.all_tied_weights_keys))
    return weights


def find_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer in a model folder, None where it has none."""
    return load_tokenizer(folder) if any((folder / name).is_file() for name in TOKENIZERS) else None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model folder.

    Raises:
        LorapError: The folder has none, or it cannot be read.
    """
    read_config(folder)  # transformers reads it too, and tells its faults as the tokenizer's
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise LorapError(f"{folder}: no tokenizer in the model folder, expected tokenizer.json")
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except UNUSABLE as error:
        raise LorapError(f"{folder}: tokenizer cannot be read ({first_line(error)})") from error


def write_companions(source: Path, out: Path, config: PreTrainedConfig) -> None:
    """Writes into ``out`` all that a model folder needs beside its weights.

    The configuration, the tokenizer, generation and chat-template files of ``source``, and for a factored model the
    modeling file.
    """
    copy_companions(source, out)
    forget_code(out)
    if isinstance(config, LorapConfig):
        code = Path(modeling_lorap.__file__)
        shutil.copyfile(code, out / code.name)
    (out / "config.json").write_text(json.dumps(_jsonable(config), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def copy_companions(source: Path, out: Path, *others: str) -> None:
    """Copies what a model folder needs beside weights and configuration, and files of other patterns."""
    for pattern in (*COMPANIONS, *others):
        for file in sorted(source.glob(pattern)):
            if file.is_file():
                shutil.copyfile(file, out / file.name)


def forget_code(folder: Path) -> None:
    """Takes out of a folder's settings what names code, so that nobody who trusts lorap's own code runs another's."""
    for file in (folder / "config.json", folder / "tokenizer_config.json"):
        settings = read_json(file) if file.is_file() else None
        if isinstance(settings, dict) and settings.pop(CODE, None) is not None:
            write_json(file, settings)


def _jsonable(config: PreTrainedConfig) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    fields.pop("_name_or_path", None)
    if not isinstance(config, LorapConfig):
        fields.pop(CODE, None)
    return fields


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, for a one-line error, and the second where the first announces it."""
    message = f"unknown name {error}" if isinstance(error, KeyError) else str(error).strip()
    lines = (message or type(error).__name__).splitlines()
    return " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
