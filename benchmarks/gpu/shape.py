"""A base of some shape with random weights, a tokenizer of as many words, and adapters of it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from benchmarks.train import make_base
from serving.embedded import BASE_DIR, BASE_MODEL_ID

RANK = 16
NOTHING = 1e-7
"""Strength of an adapter that passes every check of its files and changes no answer."""


def base_of(directory: Path, shape: str) -> Path:
    """The base, made once; random weights answer as fast as trained ones."""
    done = directory / "DONE"
    if not done.exists():
        directory.mkdir(parents=True, exist_ok=True)
        make_base(directory, shape)
        _widen(directory)
        done.touch()
    return directory


def _widen(directory: Path) -> None:
    """Give each id a text: random weights choose any of them."""
    size = json.loads((directory / "config.json").read_text())["vocab_size"]
    path = directory / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    words = tokenizer["model"]["vocab"]
    taken = {*words.values(), *(each["id"] for each in tokenizer.get("added_tokens", []))}
    words.update({f"<w{n}>": n for n in range(size) if n not in taken})
    path.write_text(json.dumps(tokenizer))


def adapter_tar(base: Path, seed: int, strength: float = 1.0) -> bytes:
    """A tar of a rank-16 adapter on all linear layers of the base."""
    config = json.loads((base / "config.json").read_text())
    chance = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for layer in range(config["num_hidden_layers"]):
        for name, (reads, writes) in _linears(config).items():
            key = f"base_model.model.model.layers.{layer}.{name}."
            down = torch.empty(RANK, reads).normal_(0, reads**-0.5, generator=chance)
            up = torch.empty(writes, RANK).normal_(0, 0.01 * strength, generator=chance)
            tensors[f"{key}lora_A.weight"] = down.to(torch.bfloat16)
            tensors[f"{key}lora_B.weight"] = up.to(torch.bfloat16)
    settings = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 2 * RANK,
        "target_modules": sorted({name.split(".")[1] for name in _linears(config)}),
        "base_model_name_or_path": BASE_MODEL_ID if base == BASE_DIR else base.name,
        "bias": "none", "lora_dropout": 0.0,
    }  # fmt: skip
    return _packed(
        {
            "adapter_config.json": json.dumps(settings).encode(),
            "adapter_model.safetensors": save(tensors, {"format": "pt"}),
        }
    )


def _linears(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    return {
        "self_attn.q_proj": (hidden, queries),
        "self_attn.k_proj": (hidden, keys),
        "self_attn.v_proj": (hidden, keys),
        "self_attn.o_proj": (queries, hidden),
        "mlp.gate_proj": (hidden, inner),
        "mlp.up_proj": (hidden, inner),
        "mlp.down_proj": (inner, hidden),
    }


def _packed(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()
