"""The smallest real PEFT directories that preflight accepts, and the base that they fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from adapters.format.base_model import BaseFacts

_IN, _OUT, _RANK = 8, 16, 2

BASE = BaseFacts(
    base_id="tiny",
    digest="b" * 64,
    architecture="LlamaForCausalLM",
    num_layers=1,
    linears={"model.layers.0.self_attn.q_proj": (_OUT, _IN)},
    vocab_size=32,
    dtype="F32",
)


def tiny_adapter(
    directory: Path,
    seed: int = 0,
    *,
    manifest: Mapping[str, object] | None = None,
    broken: bool = False,
) -> Path:
    """Write a PEFT directory whose content depends on ``seed``; a ``broken`` one holds NaN."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": _RANK,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": "tiny",
        "bias": "none",
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))
    save_file(_weights(seed, broken), directory / "adapter_model.safetensors")
    if manifest is not None:
        (directory / "graftwork.json").write_text(json.dumps(manifest))
    return directory


def _weights(seed: int, broken: bool) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    a = random.normal(size=(_RANK, _IN)).astype(np.float32)
    if broken:
        a[0, 0] = np.nan
    return {
        f"{prefix}.lora_A.weight": a,
        f"{prefix}.lora_B.weight": random.normal(size=(_OUT, _RANK)).astype(np.float32),
    }
