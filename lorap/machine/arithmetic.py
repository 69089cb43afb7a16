"""How a device computes: float32 in float32, and the same result each time where torch can promise it."""

import os
import sys

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # read when CUDA starts; without it cuBLAS may add in any order


def pin(device: torch.device) -> None:
    """Settles how this process computes on a device, whatever the environment says, and says so where it is a GPU.

    TensorFloat-32, which an environment variable can switch on, keeps 10 bits of each factor of a product, and moves
    weights by 4e-4. Sums of 16-bit products stay in float32. Kernels that give the same result each time are chosen
    where torch has them; docs/workflow.md says what is left.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    if device.type != "cuda":
        return
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # only costs time
    torch.use_deterministic_algorithms(True, warn_only=True)
    name = torch.cuda.get_device_name(device)
    print(f"lorap: computes on {device} ({name}), float32 without TensorFloat-32", file=sys.stderr, flush=True)
