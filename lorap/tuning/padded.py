"""Stock models whose compressed layers are filled up with zeros, which an adapter would bring to life again."""

from pathlib import Path

from transformers import PreTrainedModel

from lorap.errors import LorapError
from lorap.model.family import decoder_layers, linear
from lorap.model.modeling_lorap import LorapForCausalLM

PRODUCERS = {"v_proj": "values", "gate_proj": "channels"}  # whose rows of zeros add nothing to the output


def require_no_padding(model: PreTrainedModel, folder: Path) -> None:
    """What an export has filled up is not tuned: the model would no longer have the size that it was compressed to.

    Raises:
        LorapError: A layer of a stock model has rows of zeros in v or gate.
    """
    if isinstance(model, LorapForCausalLM):
        return
    for index, layer in enumerate(decoder_layers(model)):
        for name, units in PRODUCERS.items():
            rows = linear(layer, name).weight.detach().abs().amax(1)
            if empty := int((rows == 0).sum()):
                raise LorapError(
                    f"{folder}: layer {index}: {empty} of {len(rows)} {units} are zeros, the padding of an export, "
                    "which tuning would fill; tune the compressed folder that it was made from"
                )
