"""The encoder's graph does what a BERT does, up to the rounding of int8."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from router.intent.graph import INPUT, Shape, build

SHAPE = Shape(layers=2, heads=2, width=64)
_INNER = 128
Floats = NDArray[np.float32]


def weights() -> dict[str, Floats]:
    """A small BERT with random weights."""
    rng = np.random.default_rng(0)
    sizes: dict[str, tuple[int, ...]] = {"embeddings.LayerNorm": (SHAPE.width,)}
    for index in range(SHAPE.layers):
        prefix, wide = f"encoder.layer.{index}", (SHAPE.width, SHAPE.width)
        sizes |= {f"{prefix}.attention.self.{part}": wide for part in ("query", "key", "value")}
        sizes |= {
            f"{prefix}.attention.output.dense": wide,
            f"{prefix}.attention.output.LayerNorm": (SHAPE.width,),
            f"{prefix}.intermediate.dense": (_INNER, SHAPE.width),
            f"{prefix}.output.dense": (SHAPE.width, _INNER),
            f"{prefix}.output.LayerNorm": (SHAPE.width,),
        }
    found = {}
    for name, size in sizes.items():
        found[f"{name}.weight"] = rng.normal(0, 0.12, size).astype(np.float32)
        found[f"{name}.bias"] = rng.normal(0, 0.1, size[0]).astype(np.float32)
    return found


def reference(w: dict[str, Floats], state: Floats) -> Floats:
    """The same in NumPy, in float (Devlin et al. 2018)."""

    def dense(value: Floats, name: str) -> Floats:
        result: Floats = value @ w[f"{name}.weight"].T + w[f"{name}.bias"]
        return result

    def norm(value: Floats, name: str) -> Floats:
        centred = value - value.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        result: Floats = scaled * w[f"{name}.weight"] + w[f"{name}.bias"]
        return result

    def heads(value: Floats) -> Floats:
        split: Floats = value.reshape(len(value), SHAPE.heads, -1).transpose(1, 0, 2)
        return split

    state = norm(state, "embeddings.LayerNorm")
    for index in range(SHAPE.layers):
        prefix = f"encoder.layer.{index}"
        parts = ("query", "key", "value")
        query, key, value = (heads(dense(state, f"{prefix}.attention.self.{p}")) for p in parts)
        scores = query @ key.transpose(0, 2, 1) / sqrt(query.shape[-1])
        share = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (share / share.sum(axis=-1, keepdims=True)) @ value
        mixed = mixed.transpose(1, 0, 2).reshape(len(state), -1)
        out = f"{prefix}.attention.output"
        state = norm(dense(mixed, f"{out}.dense") + state, f"{out}.LayerNorm")
        inner = dense(state, f"{prefix}.intermediate.dense")
        inner *= 0.5 * (1 + np.vectorize(erf)(inner / sqrt(2)))
        state = norm(dense(inner, f"{prefix}.output.dense") + state, f"{prefix}.output.LayerNorm")
    pooled: Floats = state.mean(axis=0)
    return pooled


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_the_graph_is_a_bert(tokens: int) -> None:
    """Any number of tokens: the result points where the reference points."""
    known = weights()
    session = InferenceSession(build(known, SHAPE), providers=["CPUExecutionProvider"])
    embedded = np.random.default_rng(tokens).normal(size=(tokens, SHAPE.width)).astype(np.float32)
    (found,) = session.run(None, {INPUT: embedded[np.newaxis]})
    wanted = reference(known, embedded)
    cosine = found[0] @ wanted / np.linalg.norm(found[0]) / np.linalg.norm(wanted)
    assert cosine > 0.99
