"""The sizes of a model, from its config.json alone; no torch here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorap.errors import LorapError
from lorap.model.layer_plan import ATTENTION, LayerShape

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Sizes:
    """The sizes of a dense model; ``attention`` is the parameters of q, k, v and o in a layer."""

    hidden: int
    channels: int
    layers: int
    vocabulary: int
    attention: int
    tied: bool
    dtype: str

    @property
    def ffn(self) -> int:
        """Parameters of gate, up and down."""
        return 3 * self.hidden * self.channels

    @property
    def layer(self) -> int:
        """Parameters of a decoder layer."""
        return self.attention + self.ffn

    @property
    def parameters(self) -> int:
        """Parameters of the model."""
        return self.layers * self.layer + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def width(self, dtype: str = "auto") -> int:
        """Bytes of a value in a dtype; ``auto`` is the model's own."""
        return BYTES[self.dtype if dtype == "auto" else dtype]


def read_sizes(file: Path) -> Sizes:
    """The sizes of a model, also of a factored one, which is never larger.

    Args:
        file: Its config.json.

    Raises:
        FileNotFoundError: It is not there yet.
        LorapError: It is no configuration of a model, lacks a size, or names a dtype that lorap does not write.
    """
    raw = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise LorapError(f"{file}: expected the configuration of a model")
    dtype = raw.get("dtype") or raw.get("torch_dtype") or "float32"
    if dtype not in BYTES:
        raise LorapError(f"{file}: dtype is {dtype!r}, expected one of {', '.join(BYTES)}")
    try:
        shape = dense_shape(raw)
        return Sizes(
            raw["hidden_size"],
            shape.channels,
            raw["num_hidden_layers"],
            raw["vocab_size"],
            sum(out * inp for out, inp in (shape.sizes[name] for name in ATTENTION)),
            bool(raw.get("tie_word_embeddings")),
            dtype,
        )
    except KeyError as error:
        raise LorapError(f"{file}: {error.args[0]}: missing, so the memory of a job is unknown") from error


def dense_shape(raw: Mapping[str, Any]) -> LayerShape:
    """The sizes of a dense decoder layer as a configuration has them, which does not say where biases are.

    Raises:
        KeyError: It lacks one.
    """
    hidden, heads, channels = raw["hidden_size"], raw["num_attention_heads"], raw["intermediate_size"]
    kv_heads, head_dim = raw.get("num_key_value_heads") or heads, raw.get("head_dim") or hidden // heads
    queries, values = (heads * head_dim, hidden), (kv_heads * head_dim, hidden)
    sizes = {"q_proj": queries, "k_proj": values, "v_proj": values, "o_proj": queries[::-1]}
    sizes |= {"gate_proj": (channels, hidden), "up_proj": (channels, hidden), "down_proj": (hidden, channels)}
    return LayerShape(sizes, heads, kv_heads, head_dim)
