"""LoRA beside the projections of a model, dense or factored, by peft."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig, PeftModel, get_peft_model, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.artifacts.names import ADAPTER_CONFIG
from lorap.files import read_json, write_json
from lorap.model.family import Projection, parent
from lorap.model.layer_plan import PROJECTIONS
from lorap.model.modeling_lorap import LowRankLinear, Narrow
from lorap.model.reading import reading
from lorap.settings.schema import Tune
from lorap.tuning.adapter import Adapter, read_adapter


def attach(model: PreTrainedModel, tune: Tune) -> PeftModel:
    """A fresh adapter on all seven projections; where one is factored it stands beside the factors."""
    config = LoraConfig(
        r=tune.rank,
        lora_alpha=tune.alpha,
        lora_dropout=tune.dropout,
        target_modules=list(PROJECTIONS),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with _peft_unalarmed():
        return get_peft_model(model, _knows_factors(config))


def save_adapter(tuned: PeftModel, base: Path, out: Path) -> None:
    """Writes an adapter in peft's form into the folder ``out``, the same bytes for the same matrices."""
    tuned.peft_config["default"].base_model_name_or_path = str(base)
    tuned.save_pretrained(str(out), save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)  # an empty model card
    raw = read_json(out / ADAPTER_CONFIG)
    raw["target_modules"] = sorted(raw["target_modules"])
    write_json(out / ADAPTER_CONFIG, raw)


def load_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """A model with the adapter of a folder beside its projections, ready to be evaluated.

    Raises:
        LorapError: The folder holds no plain LoRA adapter, or one that does not fit the model.
    """
    read_adapter(folder, model)
    with reading(f"{folder}: adapter cannot be loaded"), _peft_unalarmed():
        config = LoraConfig.from_pretrained(str(folder))
        tuned = PeftModel.from_pretrained(model, str(folder), config=_knows_factors(config))
    return tuned.eval()


def put_beside(layer: nn.Module, index: int, adapter: Adapter) -> None:
    """Puts an adapter beside the projections of one layer in place, ready to be evaluated.

    Its matrices are in float32 whatever the layer is in, as they are where peft loads them into a whole model.

    Args:
        layer: The layer with its weights.
        index: Its number.
        adapter: Of the whole model.
    """
    pairs = {name: pair for (place, name), pair in adapter.pairs.items() if place == index}
    if not pairs:
        return
    device = next(layer.parameters()).device
    config = LoraConfig(r=adapter.rank, lora_alpha=adapter.scaling * adapter.rank, target_modules=list(pairs))
    with _peft_unalarmed():  # on the meta device, where no random numbers are drawn
        inject_adapter_in_model(_knows_factors(config), layer, low_cpu_mem_usage=True)
    for name, (up, down) in pairs.items():
        beside: Any = getattr(parent(layer, name), name)
        for side, matrix in (("lora_A", down), ("lora_B", up)):
            getattr(beside, side)["default"].weight = nn.Parameter(matrix.to(device), requires_grad=False)
    layer.eval()


class LoraFactors(LoraLinear):
    """peft's layer for dense linears also stands beside factors; it must only be told their size."""

    def _get_in_out_features(self, module: nn.Module) -> tuple[int, int]:
        inner = cast("Projection", module.inner if isinstance(module, Narrow) else module)
        return inner.in_features, inner.out_features


class LoraNarrow(LoraFactors):
    """Stands beside a projection with narrow heads, between what takes their padding away and what adds it."""

    def __init__(self, base_layer: Narrow, *args: Any, **kwargs: Any) -> None:
        super().__init__(base_layer, *args, **kwargs)
        base_layer.bare = True  # from here on it is this layer that takes padding away and adds it

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(..., in) -> (..., out)."""
        outer = cast("Narrow", self.get_base_layer())
        outputs = super().forward(outer.narrowed(x) if outer.reads else x, *args, **kwargs)
        return outputs if outer.reads else outer.widened(outputs)


def _knows_factors(config: LoraConfig) -> LoraConfig:
    """peft forgets its custom layers with every saving, so they are registered on every loading."""
    config._register_custom_module({LowRankLinear: LoraFactors, Narrow: LoraNarrow})
    return config


@contextmanager
def _peft_unalarmed() -> Iterator[None]:
    """Without peft's warnings of names that transformers will change, and of keys that it does not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
