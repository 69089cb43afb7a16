"""Re-decomposition: an adapter joined to the factors, at rank k + r without loss, or cut back (method.md, 10)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedConfig, PreTrainedModel

from lorap.artifacts.names import LAYERS
from lorap.artifacts.specs import RedecomposeSpec
from lorap.compression.loop import LayerLoop
from lorap.core.budget import Shape, break_even_rank
from lorap.core.factorise import numbers, relative_error, truncate
from lorap.files import write_json
from lorap.model.factored import factored_config, read_plans
from lorap.model.family import bias_of, has, layer_shapes, projection
from lorap.model.folder import open_weights, read_config, skeleton, write_companions
from lorap.model.layer_plan import INPUT_OF, PROJECTIONS, LayerPlan
from lorap.model.modeling_lorap import LorapConfig, LowRankLinear
from lorap.model.stream import Layers, stream_layers, write_weights
from lorap.model.swap import set_factors, set_linear
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
    plans, target_config = plans_again(config, model, adapter, spec.rank)
    target = skeleton(target_config)
    loop = LayerLoop(model, folder, input_ids, dtype, device, spec.at_once()) if input_ids is not None else None
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


def plans_again(
    config: PreTrainedConfig, model: PreTrainedModel, adapter: Adapter, rank: str | int
) -> tuple[list[LayerPlan], PreTrainedConfig]:
    """The plans of the layers after re-decomposition, and the configuration; a stock model stays one.

    Factors are stored plainly again, each pair with a right factor of its own, and a projection is dense where factors
    would cost as much.
    """
    if not isinstance(config, LorapConfig):
        return [LayerPlan.dense(shape) for shape in layer_shapes(model)], config
    shapes = layer_shapes(skeleton(config.base_config()))
    plans = []
    for index, (plan, shape) in enumerate(zip(read_plans(config, shapes), shapes, strict=True)):
        sizes = plan.sizes(shape)
        ranks = {name: _rank_again(plan.ranks[name], sizes[name], (index, name) in adapter.pairs, adapter, rank)
                 for name in PROJECTIONS}  # fmt: skip
        plans.append(replace(plan, ranks=ranks, shared=(), pivots={}))
    target = factored_config(config.base_config(), plans)
    target.dtype = config.dtype
    return plans, target


def _rank_again(was: int | None, size: Shape, tuned: bool, adapter: Adapter, rank: str | int) -> int | None:
    """The rank of a projection, (out, in), after re-decomposition; None where it is dense."""
    if was is None:
        return None
    wanted = was + (adapter.rank if tuned else 0)
    if rank != "k+r":
        wanted = min(was if rank == "k" else int(rank), wanted)
    return wanted if wanted < break_even_rank(size) else None


@torch.no_grad()
def join(layer: nn.Module, index: int, adapter: Adapter, plan: LayerPlan) -> dict[str, Factors]:
    """Joins an adapter to a layer in place: [L sB][R; A] beside factors, W + sB A where a weight is or becomes dense.

    Returns:
        The exact factors, in float32, of the projections that stay factored.
    """
    exact: dict[str, Factors] = {}
    whole = {name: projection(layer, name) for name in PROJECTIONS if has(layer, name)}  # one may lend to another
    for name, module in whole.items():
        pair = adapter.pairs.get((index, name))
        if not isinstance(module, nn.Linear):
            left, right = _joined(module, pair, adapter.scaling)
            if plan.ranks[name] is None:
                set_linear(layer, name, (left @ right).to(module.factors()[1].dtype), bias_of(module))
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
    left, right = (factor.float() for factor in small.factors())
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
    errors: dict[str, Tensor] = {}
    for name, (left, right) in exact.items():
        rank, scale = plan.ranks[name], scales.get(INPUT_OF[name])
        if rank is not None and rank < left.shape[1]:
            short = truncate(left, right, rank, scale)
            _replace(layer, name, short)
            errors[name] = relative_error(left @ right, short[0] @ short[1], scale)
    return numbers(errors)


def _replace(layer: nn.Module, name: str, factors: Factors) -> None:
    """Puts other factors in the place of a projection's, in its dtype and with its bias."""
    small = cast("LowRankLinear", projection(layer, name))
    left, right = (factor.to(small.factors()[1].dtype) for factor in factors)
    set_factors(layer, name, left, right, bias_of(small))
