"""Random LLaMAs of any size, written layer by layer: what is measured on them needs no download."""

from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig

from lorap.model.folder import skeleton
from lorap.model.stream import untied_state
from lorap.model.weights import SINGLE
from lorap.model.writer import WeightsWriter
from tests.tokenizer import small_tokenizer

VOCABULARY = 32_000
TOKENS = 300  # of the tokenizer, which is trained in a moment; a model may have room for more
STD = 0.02
KNEE = 1 / 32  # of the width, from where on singular values fall as the root of their number, much as trained ones do


def llama(hidden: int, channels: int, layers: int, heads: int, dtype: str = "float32") -> LlamaConfig:
    """The configuration of a multi-head LLaMA."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=channels,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        dtype=dtype,
        architectures=["LlamaForCausalLM"],
    )


@torch.no_grad()
def write_random_model(folder: Path, config: LlamaConfig, seed: int = 0) -> Path:
    """A folder with such a model; one tensor at a time is in memory."""
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    small_tokenizer(TOKENS).save_pretrained(folder)
    generator = torch.Generator().manual_seed(seed)
    state = untied_state(skeleton(config))
    with WeightsWriter(folder / SINGLE, state) as writer:
        for name, tensor in state.items():
            values = torch.ones(tensor.shape) if tensor.dim() == 1 else _weight(name, tensor.shape, generator)
            writer.write(name, values.to(tensor.dtype))
    return folder


def _weight(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Normal numbers; in the attention, which is factorised, with singular values that fall."""
    if "self_attn" not in name:
        return torch.randn(shape, generator=generator) * STD
    outputs, inputs = shape
    rank = min(shape)
    falling = (1 + torch.arange(rank) / (KNEE * rank)).rsqrt()
    weight = torch.randn(outputs, rank, generator=generator) * falling @ torch.randn(rank, inputs, generator=generator)
    return weight * (STD / weight.std())
