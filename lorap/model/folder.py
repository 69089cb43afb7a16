"""Model folders in the Hugging Face layout: reading, loading, and writing all that is not a weight."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from lorap.errors import LorapError
from lorap.files import read_json, write_json
from lorap.model import modeling_lorap
from lorap.model.factored import read_plans
from lorap.model.family import decoder_layers
from lorap.model.layer_plan import Form, LayerShape
from lorap.model.modeling_lorap import LorapConfig, LorapForCausalLM
from lorap.model.reading import reading
from lorap.model.sizes import REQUIRED, dense_shape, read_raw_config
from lorap.model.stream import untied_state
from lorap.model.swap import multiply_out
from lorap.model.weights import WeightsReader

AutoConfig.register(LorapConfig.model_type, LorapConfig)
AutoModelForCausalLM.register(LorapConfig, LorapForCausalLM)

# What is copied from folder to folder: data by its kind, no code and no pickle, whatever its name begins with.
COMPANIONS = ("tokenizer*.json", "tokenizer*.model", "vocab*.json", "vocab*.txt", "merges.txt",
              "special_tokens_map.json", "added_tokens.json", "generation_config.json", "chat_template*.json",
              "chat_template*.jinja", "LICENSE", "LICENSE*.txt", "LICENSE*.md", "NOTICE", "NOTICE*.txt",
              "NOTICE*.md")  # fmt: skip
CODE = "auto_map"  # names classes in a folder's .py files or in another repository, for who trusts remote code
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def read_config(path: Path) -> PreTrainedConfig:
    """The configuration in a model folder or in a config.json; no code of the folder is run.

    Raises:
        LorapError: Missing, not JSON, without its sizes, or of an architecture that transformers does not know.
    """
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise LorapError(f"{path}: no model there, expected a folder with a config.json; see 'lorap fetch --help'")
    raw = read_raw_config(file)
    with reading(f"{file}: not a usable configuration"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of old names for settings
        config = AutoConfig.from_pretrained(file, trust_remote_code=False)
        dense = config.base_config() if isinstance(config, LorapConfig) else config
        fields = dense.to_dict()
        shape = dense_shape(fields) if isinstance(config, LorapConfig) else None
    if missing := [key for key in REQUIRED if key in fields and key not in raw]:
        raise LorapError(f"{file}: {', '.join(missing)}: missing, required of a {dense.model_type} model")
    if isinstance(config, LorapConfig) and shape is not None:
        _require_plans(file, config, shape)
    config.return_dict, config.output_hidden_states, config.output_attentions = True, False, False
    return config


def _require_plans(file: Path, config: LorapConfig, shape: LayerShape) -> None:
    """Raises a LorapError where a factored model has no plans of layers of this shape."""
    try:
        read_plans(config, [shape] * config.num_hidden_layers)
    except LorapError as error:
        raise LorapError(f"{file}: {error}") from error


def skeleton(config: PreTrainedConfig) -> PreTrainedModel:
    """The model of a configuration without weights, on the meta device.

    Raises:
        LorapError: The architecture is not supported.
    """
    with reading(f"{config.model_type}: architecture not supported"), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
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
    with reading(f"{folder}: cannot be loaded"):
        model = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype or config.dtype, trust_remote_code=False
        )
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
