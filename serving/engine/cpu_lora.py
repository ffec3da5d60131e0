"""What vLLM's worker on the CPU needs from us: a correction, and to be less greedy.

The correction: who asks for no adapter gets none.

vLLM marks a token without an adapter by the index -1, and its torch kernels (0.32) index the
stacked weights with it: the base's requests that share a batch with an adapter's are answered with
whatever adapter is in the last slot, a retired one included. Its CUDA kernels skip such tokens.

It computes on the same cores that routers and the registry wait for. It gives way to them a little:
every request and every flip goes through them. With more of it, tokens would wait for whatever else
goes on (`make bench-swap` shows both, on two cores).

vLLM imports this module because it is its ``worker_extension_cls``.
"""

from __future__ import annotations

import os
from typing import Any

from vllm.lora.ops.torch_ops import lora_ops
from vllm.lora.punica_wrapper import punica_cpu

from serving.engine.worker import WorkerExtension

GIVES_WAY = 2
"""Steps of niceness; each takes about a fifth of what is left of a contended core."""

# The thread that imports this is the one that computes, and the threads that it starts inherit.
os.nice(GIVES_WAY)

_shrink = lora_ops.bgmv_shrink


def bgmv_shrink(inputs: Any, weights: Any, output: Any, indices: Any, scaling: float = 1.0) -> None:
    """The kernel that every LoRA goes through first, with nothing left for tokens without one."""
    _shrink(inputs, weights, output, indices, scaling)
    output.masked_fill_((indices < 0).unsqueeze(1), 0)


# Where each caller looks it up.
lora_ops.bgmv_shrink = bgmv_shrink
punica_cpu.bgmv_shrink = bgmv_shrink


__all__ = ["WorkerExtension"]
