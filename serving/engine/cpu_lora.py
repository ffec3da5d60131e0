"""A correction of vLLM's LoRA on the CPU: who asks for no adapter gets none.

vLLM marks a token without an adapter by the index -1, and its torch kernels (0.32) index the
stacked weights with it: the base's requests that share a batch with an adapter's are answered with
whatever adapter is in the last slot, a retired one included. Its CUDA kernels skip such tokens.

vLLM's workers import this module because it is their ``worker_extension_cls``; that is all it does.
"""

from __future__ import annotations

from typing import Any

from vllm.lora.ops.torch_ops import lora_ops
from vllm.lora.punica_wrapper import punica_cpu

_shrink = lora_ops.bgmv_shrink


def bgmv_shrink(inputs: Any, weights: Any, output: Any, indices: Any, scaling: float = 1.0) -> None:
    """The kernel that every LoRA goes through first, with nothing left for tokens without one."""
    _shrink(inputs, weights, output, indices, scaling)
    output.masked_fill_((indices < 0).unsqueeze(1), 0)


# Where each caller looks it up.
lora_ops.bgmv_shrink = bgmv_shrink
punica_cpu.bgmv_shrink = bgmv_shrink


class WorkerExtension:
    """Adds nothing to vLLM's worker."""
