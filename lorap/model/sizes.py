"""The sizes of a model, from its config.json alone; no torch here."""

import json
from dataclasses import dataclass
from pathlib import Path

from lorap.errors import LorapError

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
        hidden, heads = raw["hidden_size"], raw["num_attention_heads"]
        head = raw.get("head_dim") or hidden // heads
        pairs = heads + (raw.get("num_key_value_heads") or heads)  # q with o, and k with v, are as large
        return Sizes(
            hidden,
            raw["intermediate_size"],
            raw["num_hidden_layers"],
            raw["vocab_size"],
            2 * hidden * head * pairs,
            bool(raw.get("tie_word_embeddings")),
            dtype,
        )
    except KeyError as error:
        raise LorapError(f"{file}: {error.args[0]}: missing, so the memory of a job is unknown") from error
