"""Adapters as they are kept in a folder: their matrices, what they were tuned on, and a model with one of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorap.artifacts.meta import artifact_id, meta_path, read_meta
from lorap.artifacts.names import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from lorap.errors import LorapError
from lorap.files import read_json
from lorap.model.family import decoder_layers, has, projection
from lorap.model.layer_plan import ATTENTION, PROJECTIONS
from lorap.model.weights import WeightsReader

PREFIX = "base_model.model.model.layers.{}.{}.{}.lora_{}.weight"
# What an adapter may not ask for, and the value that leaves it out: each would change what is joined to the factors.
PLAIN: dict[str, Any] = {"bias": "none", "use_dora": False, "use_rslora": False, "fan_in_fan_out": False,
                         "lora_bias": False, "modules_to_save": None, "rank_pattern": {}, "alpha_pattern": {},
                         "auto_mapping": None, "layer_replication": None, "trainable_token_indices": None,
                         "target_parameters": None}  # fmt: skip


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
    for key, plain in PLAIN.items():
        if (found := raw.get(key)) and found != plain:
            raise LorapError(f"{file}: {key} is {found!r}, expected plain LoRA ({plain!r})")
    targets = raw.get("target_modules")
    if not isinstance(targets, list) or not targets or set(targets) - set(PROJECTIONS):
        raise LorapError(f"{file}: target_modules {targets!r}, expected names from {', '.join(PROJECTIONS)}")
    rank, alpha = raw.get("r"), raw.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise LorapError(f"{file}: r {rank!r} and lora_alpha {alpha!r}, expected a rank of at least 1 and a number")
    return rank, alpha / rank


def require_base(adapter: Path, model: Path) -> None:
    """Compares the base model that the adapter was tuned on with a model folder; one without a record is let through.

    Raises:
        LorapError: It was another model.
    """
    if not meta_path(adapter).is_file():
        return
    tuned_on = read_meta(adapter)["inputs"].get("model")
    if tuned_on != artifact_id(model):
        raise LorapError(f"{adapter}: was tuned on another model than {model} (hashes differ); run 'lorap tune' again")
