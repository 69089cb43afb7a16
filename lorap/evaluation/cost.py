"""What a model costs: parameters, MACs, memory and time, measured with warm-up, synchronisation and medians."""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorap.errors import LorapError
from lorap.machine.meter import now, peak_memory, reset_peak_memory
from lorap.model.counting import count_cache, count_macs, count_parameters
from lorap.settings.schema import Cost


def measure_cost(cost: Cost, model: PreTrainedModel) -> dict[str, Any]:
    """Counts and timings of a model; the keys at the top are those of the first batch size.

    Seconds are medians. Memory is the peak while measuring: of the CUDA allocator, or of the whole process on a CPU,
    libraries included.

    Raises:
        LorapError: The model is spread over several GPUs, whose links would be timed with it.
    """
    if len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1:
        raise LorapError("cost: the model has no room on one GPU; choose a larger one, or --device cpu")
    batches = [_time_batch(cost, model, batch) for batch in cost.batches]
    first = batches[0]
    return {
        "parameters": count_parameters(model),
        "macs": count_macs(model, cost.tokens),
        "tokens": cost.tokens,
        "cache_bytes_per_token": count_cache(model) * model.dtype.itemsize,
        "peak_memory_bytes": first["peak_memory_bytes"],
        "prefill_seconds": first["prefill_seconds"],
        "decode_tokens_per_second": first["decode_tokens_per_second"],
        "batches": batches,
        "protocol": {
            **cost.model_dump(exclude={"batches"}),
            "dtype": str(model.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "memory_of": "CUDA allocator" if model.device.type == "cuda" else "process",
        },
    }


@torch.no_grad()
def _time_batch(cost: Cost, model: PreTrainedModel, batch: int) -> dict[str, float]:
    """Median seconds to read a prompt, and new tokens a second after it, for one batch size."""
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(model.config.vocab_size, (batch, cost.prompt), generator=generator).to(model.device)

    def prefill() -> Any:
        return model(input_ids=prompt, use_cache=True, logits_to_keep=1)

    def decode(state: Any) -> Any:
        for _ in range(cost.new_tokens):
            token: Tensor = state.logits[:, -1:].argmax(-1)
            state = model(input_ids=token, past_key_values=state.past_key_values, use_cache=True)
        return state

    reset_peak_memory(model.device)
    runs = [_timed(prefill, decode, model.device) for _ in range(cost.warmup + cost.repeats)][cost.warmup :]
    prefill_seconds, decode_seconds = (statistics.median(seconds) for seconds in zip(*runs, strict=True))
    return {
        "batch": batch,
        "prefill_seconds": prefill_seconds,
        "decode_tokens_per_second": batch * cost.new_tokens / decode_seconds,
        "peak_memory_bytes": peak_memory(model.device),
    }


def _timed(prefill: Callable[[], Any], decode: Callable[[Any], Any], device: torch.device) -> tuple[float, float]:
    """Seconds of a prefill, and of the decoding that goes on from it."""
    times = [now(device)]
    state = prefill()
    times.append(now(device))
    decode(state)
    times.append(now(device))
    return times[1] - times[0], times[2] - times[1]
