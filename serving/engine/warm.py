"""A request with an adapter before the first one comes: what compiles, compiles before readiness.

vLLM captures graphs for small steps; the kernels of longer ones, and those that score prompts, are
compiled at their first use (seconds on a GPU), which would be somebody's first request.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from adapters.format.base_model import BaseFacts

_NUMBER: Final = 1 << 30
"""vLLM's number of it; those of versions begin at 1."""
_RANK: Final = 8
LENGTHS: Final = (1, 24, 150, 400, 1000, 3000)
"""Tokens in a prompt: a step of each size class."""
Score = Callable[[Any, list[int]], Awaitable[None]]


def idle_adapter(base: BaseFacts, into: Path) -> Path:
    """An adapter of zeros on one linear: it changes nothing, and runs every kernel."""
    module = min(base.linears)
    outputs, inputs = base.linears[module]
    prefix = f"base_model.model.{module}"
    save_file(
        {
            f"{prefix}.lora_A.weight": np.zeros((_RANK, inputs), np.float32),
            f"{prefix}.lora_B.weight": np.zeros((outputs, _RANK), np.float32),
        },
        into / "adapter_model.safetensors",
    )
    config = {
        "peft_type": "LORA",
        "r": _RANK,
        "lora_alpha": _RANK,
        "target_modules": [module.rpartition(".")[2]],
        "bias": "none",
    }
    (into / "adapter_config.json").write_text(json.dumps(config))
    return into


async def warm_up(client: Any, base: BaseFacts, make_request: Callable[..., Any]) -> None:
    """Run steps of each size with an idle adapter, then take it out. Raises what vLLM raises."""
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=2, temperature=0.0, prompt_logprobs=0, ignore_eos=True)
    with tempfile.TemporaryDirectory(prefix="graftwork-warm-") as folder:
        request = make_request("graftwork-warm", _NUMBER, str(idle_adapter(base, Path(folder))))
        await client.add_lora(request)
        try:
            for length in LENGTHS:
                if length + 2 > client.model_config.max_model_len:
                    break
                for lora in (request, None):
                    prompt = {"prompt_token_ids": [1 + n % 100 for n in range(length)]}
                    name = f"warm-{length}-{lora is None}"
                    async for _ in client.generate(prompt, params, name, lora_request=lora):
                        pass
        finally:
            await client.remove_lora(_NUMBER)
        await client.reset_prefix_cache()
