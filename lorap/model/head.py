"""What stands behind the last layer of a model whose layers are streamed."""

import torch
from torch import nn
from transformers import PreTrainedModel

from lorap.model.stream import fill
from lorap.model.weights import WeightsReader


def fill_head(
    model: PreTrainedModel, weights: WeightsReader, dtype: torch.dtype, device: torch.device
) -> nn.Sequential:
    """Norm and language-model head of a skeleton, with their weights: (..., hidden) to logits, (..., vocabulary).

    Where the files have no head, it is the embeddings, to which the configuration then ties it. Where they have one it
    is that, even if the configuration says that it is tied: so does transformers, where the two differ.
    """
    fill(model.model.norm, "model.norm.", weights, dtype, device)
    name = "lm_head.weight" if "lm_head.weight" in weights else "model.embed_tokens.weight"
    model.lm_head.load_state_dict({"weight": weights.load(name, dtype, device)}, assign=True)
    return nn.Sequential(model.model.norm, model.lm_head)
