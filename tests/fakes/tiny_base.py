"""A base model of some thousand random weights with a real tokenizer and chat template.

Its text is noise, but it computes, learns and is refused as any other: what trains on it takes a
second where the embedded base takes a minute.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from serving.embedded import BASE_DIR

_HIDDEN, _INNER, _LAYERS, _HEADS, _VOCABULARY = 32, 64, 2, 2, 2048


def tiny_base(directory: Path, seed: int = 0) -> Path:
    """Write a Hugging Face directory and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    config = json.loads((BASE_DIR / "config.json").read_text(encoding="utf-8"))
    config |= {
        "dtype": "float32",
        "hidden_size": _HIDDEN,
        "intermediate_size": _INNER,
        "layer_types": ["full_attention"] * _LAYERS,
        "num_attention_heads": _HEADS,
        "num_hidden_layers": _LAYERS,
        "num_key_value_heads": 1,
        "vocab_size": _VOCABULARY,
    }
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in ("chat_template.jinja", "generation_config.json", "tokenizer.json",
                 "tokenizer_config.json"):  # fmt: skip
        shutil.copyfile(BASE_DIR / name, directory / name)
    save_file(_weights(seed), directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def _weights(seed: int) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(seed)
    half = _HIDDEN // 2
    shapes = {
        "self_attn.q_proj.weight": (_HIDDEN, _HIDDEN),
        "self_attn.q_proj.bias": (_HIDDEN,),
        "self_attn.k_proj.weight": (half, _HIDDEN),
        "self_attn.k_proj.bias": (half,),
        "self_attn.v_proj.weight": (half, _HIDDEN),
        "self_attn.v_proj.bias": (half,),
        "self_attn.o_proj.weight": (_HIDDEN, _HIDDEN),
        "mlp.gate_proj.weight": (_INNER, _HIDDEN),
        "mlp.up_proj.weight": (_INNER, _HIDDEN),
        "mlp.down_proj.weight": (_HIDDEN, _INNER),
    }
    weights = {"model.embed_tokens.weight": _random(chance, (_VOCABULARY, _HIDDEN))}
    for layer in range(_LAYERS):
        head = f"model.layers.{layer}."
        weights |= {f"{head}{name}": _random(chance, shape) for name, shape in shapes.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{head}{norm}.weight"] = np.ones(_HIDDEN, dtype=np.float32)
    weights["model.norm.weight"] = np.ones(_HIDDEN, dtype=np.float32)
    return weights


def _random(chance: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (chance.normal(size=shape) * 0.2).astype(np.float32)
