"""The sizes of a model, from its config.json alone; no torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorap.errors import LorapError
from lorap.files import read_json
from lorap.model.layer_plan import ATTENTION, LayerShape

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
# Keys for which transformers silently puts in a size of its own.
REQUIRED = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
OPTIONAL = ("head_dim", "num_key_value_heads")
# Of what lists are made before anybody could say that no weights are there for so many.
LISTED = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_labels", "num_attention_heads",
          "num_key_value_heads")  # fmt: skip
MOST = 1000


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


def eigenvector_operations(hidden: int, weights: int) -> int:
    """Multiply-accumulates of the eigenvectors of that many Gram matrices of a width."""
    return weights * 25 * hidden**3


def factorising_bytes(sizes: Sizes) -> int:
    """An FFN weight in float32 and float64, and its Gram matrix, eigenvectors and their workspace."""
    return 28 * sizes.hidden * sizes.channels + 32 * sizes.hidden**2


def read_sizes(file: Path) -> Sizes:
    """The sizes of a model, also of a factored one, which is never larger.

    Args:
        file: Its config.json.

    Raises:
        FileNotFoundError: It is not there yet.
        LorapError: It is no configuration of a model, lacks a size, or names a dtype that lorap does not write.
    """
    file.stat()  # Snakemake asks before the file is there, and understands this error alone
    raw = read_raw_config(file)
    dtype = raw.get("dtype") or raw.get("torch_dtype") or "float32"
    if dtype not in tuple(BYTES):
        raise LorapError(f"{file}: dtype is {dtype!r}, expected one of {', '.join(BYTES)}")
    if missing := [key for key in REQUIRED if key not in raw]:
        raise LorapError(f"{file}: {missing[0]}: missing, so the memory of a job is unknown")
    shape = dense_shape(raw)
    return Sizes(
        raw["hidden_size"],
        shape.channels,
        raw["num_hidden_layers"],
        raw["vocab_size"],
        shape.parameters_of(ATTENTION),
        bool(raw.get("tie_word_embeddings")),
        dtype,
    )


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


def read_raw_config(file: Path) -> dict[str, Any]:
    """The keys of a config.json, of which those that name a size hold one.

    Raises:
        LorapError: Not a JSON object, or a size is no whole number, less than 1 or beyond all reason.
    """
    raw = read_json(file)
    if not isinstance(raw, dict):
        raise LorapError(f"{file}: not a usable configuration (no JSON object)")
    for key in (*REQUIRED, *OPTIONAL, *LISTED):
        value = raw.get(key, 1)
        if value is None and key not in REQUIRED:
            continue
        if type(value) is not int or value < 1:
            raise LorapError(f"{file}: {key}: got {value!r}, expected a whole number of at least 1")
        if value > MOST and key in LISTED:
            raise LorapError(f"{file}: {key}: got {value}, expected at most {MOST}")
    return raw
