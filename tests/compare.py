"""What two models say, compared; and compression into a folder with the settings that tests share."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorap.artifacts.specs import CompressSpec, SurveySpec
from lorap.compression.run import compress
from lorap.compression.surveying import survey_model
from lorap.settings.method import Method, Scores
from lorap.settings.schema import Survey

CPU = torch.device("cpu")
RUN: dict[str, Any] = {"form": "factored", "dtype": "auto", "batch": 16, "offload": False}
BOUND = 1e-3  # total variation; an error 0.05 % above the optimum already moves a small model by 6e-2


def compressed(folder: Path, out: Path, input_ids: Tensor, sparsity: float = 0.5, **changes: Any) -> Path:
    """The folder of a model compressed as published, but for the changes, which are those of a method or of the run."""
    run = {name: changes.pop(name) for name in list(changes) if name in RUN}
    out.mkdir()
    compress(spec_of(sparsity, **changes).model_copy(update=run), folder, input_ids, out, CPU, quiet=True)
    return out


def method_of(**changes: Any) -> Method:
    """The method of the paper with other parts and settings, in the flat form of params.yaml."""
    return Method.model_validate(
        {"attention": "awsvd", "ffn": "prune", "allocation": 3.0, "keep_least": 0.01} | changes
    )


def survey_for(method: Method, folder: Path, input_ids: Tensor, device: torch.device = CPU, **how: Any) -> Scores:
    """A survey of the model, where the method's share asks for one; ``how`` is of the survey's settings."""
    if not method.share.surveyed:
        return ()
    run = {name: value for name, value in RUN.items() if name != "form"}
    return survey_model(SurveySpec(survey=Survey(**how), **run), folder, input_ids, device, quiet=True)


def spec_of(sparsity: float, **changes: Any) -> CompressSpec:
    """The settings of a compression."""
    return CompressSpec(method=method_of(**changes), sparsity=sparsity, **RUN)


@torch.no_grad()
def distributions(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Of the next token: (windows, tokens, vocabulary)."""
    return model(input_ids=input_ids, use_cache=False).logits.double().softmax(-1)


def total_variation(model: PreTrainedModel, other: PreTrainedModel, input_ids: Tensor) -> float:
    """At the worst position, because one wrong mask or rank shows only somewhere."""
    difference = distributions(model, input_ids) - distributions(other, input_ids)
    return 0.5 * difference.abs().sum(-1).max().item()
