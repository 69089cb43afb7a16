"""Adapters as they are kept in a folder: their matrices, what they were tuned on, and a model with one of them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorap.artifacts.meta import artifact_id, meta_path, read_meta
from lorap.artifacts.names import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from lorap.errors import LorapError
from lorap.files import read_json
from lorap.model.family import decoder_layers, has, projection
from lorap.model.layer_plan import ATTENTION, PROJECTIONS, Form
from lorap.model.weights import WeightsReader

PREFIX = "base_model.model.model.layers.{}.{}.{}.lora_{}.weight"
# What an adapter's configuration may say; any other key that is set would change what is joined to the factors.
FREE = {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "target_modules", "base_model_name_or_path",
        "revision", "inference_mode", "peft_version", "megatron_core", "qalora_group_size"}  # fmt: skip
LARGEST_RANK = 2**16
PLAIN: dict[str, Any] = {"bias": "none", "init_lora_weights": True}


@dataclass(frozen=True)
class Adapter:
    """Pairs of thin matrices by layer and projection: W becomes W + scaling * B A."""

    rank: int
    scaling: float
    pairs: dict[tuple[int, str], tuple[Tensor, Tensor]]  # (B, A): (out, r) and (r, in)


def read_adapter(folder: Path, model: PreTrainedModel) -> Adapter:
    """The matrices of an adapter, which fit the model; ``model`` may be a skeleton.

    Raises:
        LorapError: No such adapter, not plain LoRA, unknown target modules, or shapes of another model.
    """
    raw = read_json(folder / ADAPTER_CONFIG) if (folder / ADAPTER_CONFIG).is_file() else None
    if not isinstance(raw, dict) or not (folder / ADAPTER_WEIGHTS).is_file():
        raise LorapError(
            f"{folder}: no adapter there, expected {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}; see 'lorap tune'"
        )
    rank, scaling = _plain_lora(folder / ADAPTER_CONFIG, raw)
    weights = WeightsReader(folder, ADAPTER_WEIGHTS)
    pairs: dict[tuple[int, str], list[str]] = {}
    expected: dict[str, Tensor] = {}
    for index, layer in enumerate(decoder_layers(model)):
        for name in raw["target_modules"]:
            if not has(layer, name):
                continue
            owner = "self_attn" if name in ATTENTION else "mlp"
            keys = [PREFIX.format(index, owner, name, side) for side in "BA"]
            module = projection(layer, name)
            shapes = ((module.out_features, rank), (rank, module.in_features))
            expected |= {key: torch.empty(shape, device="meta") for key, shape in zip(keys, shapes, strict=True)}
            pairs[index, name] = keys
    weights.require(expected, ())
    loaded = {key: weights.load(key, torch.float32) for key in expected}
    return Adapter(rank, scaling, {place: (loaded[b], loaded[a]) for place, (b, a) in pairs.items()})


def _plain_lora(file: Path, raw: dict[str, Any]) -> tuple[int, float]:
    """Rank and scaling of an adapter's configuration."""
    if raw.get("peft_type") != "LORA":
        raise LorapError(f"{file}: peft_type is {raw.get('peft_type')!r}, expected 'LORA'")
    for key in sorted(raw.keys() - FREE):
        if raw[key] and raw[key] != PLAIN.get(key):
            raise LorapError(f"{file}: {key} is {raw[key]!r}, expected plain LoRA, where it is {PLAIN.get(key)!r}")
    targets = raw.get("target_modules")
    if not isinstance(targets, list) or not targets or not all(name in PROJECTIONS for name in targets):
        raise LorapError(f"{file}: target_modules {targets!r}, expected names from {', '.join(PROJECTIONS)}")
    rank, alpha = raw.get("r"), raw.get("lora_alpha")
    if type(rank) is not int or not 1 <= rank <= LARGEST_RANK:
        raise LorapError(f"{file}: r {rank!r}, expected a rank of at least 1 and at most {LARGEST_RANK}")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) <= sys.float_info.max:
        raise LorapError(f"{file}: lora_alpha {alpha!r}, expected a finite number")
    return rank, alpha / rank


def require_base(adapter: Path, model: Path) -> None:
    """Compares the base model that the adapter was tuned on with a model folder; one without a record is let through.

    Raises:
        LorapError: It was another model.
    """
    if not meta_path(adapter).is_file():
        return
    if _recorded(adapter, "inputs", "model") != artifact_id(model):
        raise LorapError(f"{adapter}: was tuned on another model than {model} (hashes differ); run 'lorap tune' again")


def tuned_form(adapter: Path | None) -> Form:
    """The form of the model that an adapter was tuned on; ``factored`` where it has no record, or there is none.

    Raises:
        LorapError: The record is damaged.
    """
    if adapter is None or not meta_path(adapter).is_file():
        return "factored"
    form: Form = _recorded(adapter, "spec", "tune", "form")
    if form not in get_args(Form):
        raise LorapError(
            f"{meta_path(adapter)}: spec.tune.form is {form!r}, expected one of {', '.join(get_args(Form))}"
        )
    return form


def _recorded(adapter: Path, *keys: str) -> Any:
    """What the record of an adapter says under these keys, each in the object of the one before."""
    value: Any = read_meta(adapter)
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise LorapError(f"{meta_path(adapter)}: damaged, it has no {'.'.join(keys)}; run 'lorap tune' again")
        value = value[key]
    return value
