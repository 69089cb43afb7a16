"""What enters the first layer of a model, and what the model passes to every layer beside it."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.compression.store import Store
from lorap.errors import LorapError
from lorap.model.weights import WeightsReader


@torch.no_grad()
def entrance(
    model: PreTrainedModel,
    weights: WeightsReader,
    input_ids: Tensor,
    dtype: torch.dtype,
    device: torch.device,
    batch: int,
    store: Store,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """The inputs of the first layer, (windows, tokens, hidden), and the arguments that every layer gets.

    The model itself is asked, with recorders in place of its layers, so masks, rotary tables and whatever a family
    adds are its own.

    Args:
        model: The skeleton of a model.
        weights: Of the model.
        input_ids: (windows, tokens).
        dtype: What is computed in.
        device: Where the layers run.
        batch: Windows that are embedded at once.
        store: Where the inputs are kept.
    """
    body: Any = copy.deepcopy(model.model)
    embeddings = weights.load("model.embed_tokens.weight", dtype, device)
    body.embed_tokens.weight = nn.Parameter(embeddings, requires_grad=False)
    body.norm = nn.Identity()
    body.rotary_emb = type(body.rotary_emb)(config=body.config).to(device)
    body.layers = nn.ModuleList(_Recorder() for _ in body.layers)
    body(input_ids=input_ids[:1].to(device), use_cache=False)
    hidden = store.empty((*input_ids.shape, embeddings.shape[1]), dtype)
    for start in range(0, len(input_ids), batch):
        window = slice(start, start + batch)
        hidden[window] = body.embed_tokens(input_ids[window].to(device))
    return hidden, [recorder.arguments for recorder in body.layers]


def require_known(input_ids: Tensor, vocabulary: int) -> None:
    """Raises a LorapError where ids, (windows, tokens), are of another vocabulary than one of this size."""
    if int(input_ids.min()) < 0 or int(input_ids.max()) >= vocabulary:
        raise LorapError(
            f"calibration: ids up to {int(input_ids.max())}, but the model's vocabulary has {vocabulary}; "
            "make the file with this model's tokenizer"
        )


class _Recorder(nn.Module):
    """Stands where a layer was, and keeps the arguments that the layer would get."""

    def forward(self, hidden_states: Tensor, **arguments: Any) -> Tensor:
        self.arguments = arguments
        return hidden_states
