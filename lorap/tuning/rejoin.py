"""Re-decomposition: an adapter joined to the factors, at rank k + r without loss, or cut back (method.md, 10)."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedConfig

from lorap.artifacts.names import LAYERS
from lorap.artifacts.specs import RedecomposeSpec
from lorap.compression.loop import LayerLoop
from lorap.core.budget import break_even_rank
from lorap.core.factorise import relative_error, truncate
from lorap.files import write_json
from lorap.model.family import INPUT_OF, PROJECTIONS, decoder_layers, projection
from lorap.model.folder import factored_config, open_weights, read_config, skeleton, write_companions
from lorap.model.modeling_lorap import LorapConfig, LowRankLinear
from lorap.model.plan import LayerPlan
from lorap.model.stream import Layers, set_factors, set_linear, stream_layers, write_weights
from lorap.tuning.adapter import Adapter, read_adapter, require_base

Factors = tuple[Tensor, Tensor]  # (out, k) and (k, in), float32
Errors = dict[str, float]


def redecompose(
    spec: RedecomposeSpec,
    folder: Path,
    adapter_folder: Path,
    input_ids: Tensor | None,
    out: Path,
    device: torch.device,
    quiet: bool,
) -> None:
    """Fills a folder with the model that a factored one and its adapter stand for, factored again.

    Args:
        spec: The rank: ``k+r`` joins the factors; ``k`` and a number truncate.
        folder: The model that was tuned.
        adapter_folder: Its adapter.
        input_ids: (windows, tokens) that weigh a truncation by the tuned model's activations; None for the plain
            norm, or where nothing is truncated.
        out: The empty folder to fill.
        device: Where the work runs.
        quiet: No progress bar.

    Raises:
        LorapError: Model or adapter cannot be read, or do not belong together.
    """
    config = read_config(folder)
    dtype = config.dtype or torch.float32
    model = skeleton(config)
    require_base(adapter_folder, folder)
    adapter = read_adapter(adapter_folder, model)
    plans = [plan_again(layer, index, adapter, spec.rank) for index, layer in enumerate(decoder_layers(model))]
    target = skeleton(_config(config, plans))
    loop = LayerLoop(model, folder, input_ids, dtype, device, spec.batch) if input_ids is not None else None
    weights = loop.weights if loop is not None else open_weights(folder, model)
    errors: list[Errors] = []

    def again() -> Layers:
        layers: Layers = loop if loop is not None else stream_layers(model, weights, dtype, device)
        for index, layer in tqdm(layers, total=len(plans), desc="redecompose", unit="layer", disable=quiet):
            exact = join(layer, index, adapter, plans[index])
            scales = loop.scales(index, layer) if loop is not None else {}
            errors.append(cut_back(layer, plans[index], exact, scales))
            if loop is not None:
                loop.advance(index, layer)
            yield index, layer

    write_weights(out, target, again(), weights)
    write_companions(folder, out, target.config)
    layers = [plan.as_dict() | {"errors": error} for plan, error in zip(plans, errors, strict=True)]
    write_json(out / LAYERS, layers)


def plan_again(layer: nn.Module, index: int, adapter: Adapter, rank: str | int) -> LayerPlan:
    """The ranks of a layer after re-decomposition; where factors would cost as much as dense, it is dense."""
    ranks: dict[str, int | None] = {}
    for name in PROJECTIONS:
        small = projection(layer, name)
        ranks[name] = small.rank if isinstance(small, LowRankLinear) else None
        if isinstance(small, LowRankLinear) and rank != "k":
            exact = small.rank + (adapter.rank if (index, name) in adapter.pairs else 0)
            wanted = exact if rank == "k+r" else min(int(rank), exact)
            ranks[name] = wanted if wanted < break_even_rank((small.out_features, small.in_features)) else None
    return LayerPlan(ranks, projection(layer, "gate_proj").out_features)


def _config(config: PreTrainedConfig, plans: list[LayerPlan]) -> PreTrainedConfig:
    """The configuration of the result; a stock model with merged adapters stays one."""
    if not isinstance(config, LorapConfig):
        return config
    target = factored_config(config.base_config(), {"layers": [plan.as_dict() for plan in plans]})
    target.dtype = config.dtype
    return target


@torch.no_grad()
def join(layer: nn.Module, index: int, adapter: Adapter, plan: LayerPlan) -> dict[str, Factors]:
    """Joins an adapter to a layer in place: [L sB][R; A] beside factors, W + sB A where a weight is or becomes dense.

    Returns:
        The exact factors, in float32, of the projections that stay factored.
    """
    exact: dict[str, Factors] = {}
    for name in PROJECTIONS:
        module, pair = projection(layer, name), adapter.pairs.get((index, name))
        if isinstance(module, LowRankLinear):
            left, right = _joined(module, pair, adapter.scaling)
            if plan.ranks[name] is None:
                set_linear(layer, name, (left @ right).to(module.left.weight.dtype), module.left.bias)
            else:
                exact[name] = (left, right)
                _replace(layer, name, exact[name])
        elif pair is not None:
            up, down = (matrix.to(module.weight.device) for matrix in pair)
            merged = module.weight.float() + adapter.scaling * up @ down
            set_linear(layer, name, merged.to(module.weight.dtype), module.bias)
    return exact


def _joined(small: LowRankLinear, pair: Factors | None, scaling: float) -> Factors:
    """[L sB] and [R; A]; the factors alone where a projection has no adapter."""
    left, right = small.left.weight.float(), small.right.weight.float()
    if pair is None:
        return left, right
    up, down = (matrix.to(left.device) for matrix in pair)
    return torch.cat([left, scaling * up], 1), torch.cat([right, down], 0)


@torch.no_grad()
def cut_back(layer: nn.Module, plan: LayerPlan, exact: Mapping[str, Factors], scales: Mapping[str, Tensor]) -> Errors:
    """Truncates a layer's factors to the ranks of the plan in place.

    Args:
        layer: The layer with its exact factors.
        plan: The ranks.
        exact: The exact factors by projection.
        scales: d of the norm by input of the layer; where it is missing the norm is the plain one.

    Returns:
        The relative error of every projection that was truncated, in that norm.
    """
    errors = {}
    for name, (left, right) in exact.items():
        rank, scale = plan.ranks[name], scales.get(INPUT_OF[name])
        if rank is not None and rank < left.shape[1]:
            short = truncate(left, right, rank, scale)
            _replace(layer, name, short)
            errors[name] = relative_error(left @ right, short[0] @ short[1], scale)
    return errors


def _replace(layer: nn.Module, name: str, factors: Factors) -> None:
    """Puts other factors in the place of a projection's, in its dtype and with its bias."""
    small = cast("LowRankLinear", projection(layer, name))
    left, right = (factor.to(small.left.weight.dtype) for factor in factors)
    set_factors(layer, name, left, right, small.left.bias)
