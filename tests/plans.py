"""Random plans of layers, everything that a plan can say, and random models of them in folders."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

from lorap.compression.planning import BIAS_SWITCHES
from lorap.core.budget import QK, pivot_counts
from lorap.model.factored import factored_config
from lorap.model.family import layer_shapes
from lorap.model.folder import skeleton
from lorap.model.layer_plan import PROJECTIONS, LayerPlan, LayerShape


def random_plan(shape: LayerShape, draw: random.Random, biases: bool) -> LayerPlan:
    """Fewer heads and channels, uneven head dimensions, low ranks plain, shared and pivoted, and added biases."""
    kv_heads = draw.choice([0, *range(1, shape.kv_heads + 1)])
    uneven: int | tuple[int, ...] = tuple(draw.randint(1, shape.head_dim) for _ in range(kv_heads))
    plan = LayerPlan(
        dict.fromkeys(PROJECTIONS),
        channels=draw.choice([0, draw.randint(1, shape.channels)]),
        heads=kv_heads * shape.heads // shape.kv_heads,
        kv_heads=kv_heads,
        value_dim=draw.choice([shape.head_dim, draw.randint(1, shape.head_dim), uneven]),
        biases=tuple(draw.sample(["o_proj", "down_proj"], draw.randint(0, 2))) if biases else (),
    )
    limits = {name: min(size) - 1 for name, size in plan.sizes(shape).items()}
    ranks = {name: draw.choice([None, draw.randint(1, limit)]) if limit > 0 else None for name, limit in limits.items()}
    shares = draw.random() < 0.5 and kv_heads > 0
    if shares:
        ranks["q_proj"] = ranks["k_proj"] = draw.randint(1, limits["k_proj"])
    apart = {name: rank for name, rank in ranks.items() if rank is not None and not (shares and name in QK)}
    pivots = dict(draw.sample(sorted(apart.items()), draw.randint(0, len(apart))))
    if shares and draw.random() < 0.5:
        sizes, shared = plan.sizes(shape), ranks["q_proj"] or 0
        pivots |= pivot_counts(shared, {name: sizes[name][0] for name in QK})
    return replace(
        plan,
        ranks=ranks,
        shared=(QK,) if shares else (),
        pivots=pivots,
    )


def planned_folder(config: PreTrainedConfig, out: Path, seed: int) -> tuple[Path, list[LayerPlan]]:
    """A random model of a random plan in a folder without a tokenizer, with the plan."""
    draw = random.Random(seed)
    fields = config.to_dict()
    biases = all(switch in fields for switch in BIAS_SWITCHES.values())
    plans = [random_plan(shape, draw, biases) for shape in layer_shapes(skeleton(config))]
    return save_planned(config, plans, out, seed), plans


def save_planned(config: PreTrainedConfig, plans: Sequence[LayerPlan], out: Path, seed: int = 0) -> Path:
    """A random model of these plans in a folder without a tokenizer."""
    target = factored_config(config, plans)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(target)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("order"):
                tensor.copy_(torch.randperm(len(tensor)))
            elif "norm" in name:
                tensor.uniform_(0.5, 1.5)
            else:
                tensor.normal_(std=0.2)
    model.save_pretrained(out)
    return out
