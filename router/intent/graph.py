"""The encoder's ONNX graph, built from its weights in memory: no export, no file, no torch.

Weights of the matrix products become int8, one scale per output column; activations are quantised
at run time (``DynamicQuantizeMatMul``). The graph takes one sentence, or several of equal length,
so it needs no attention mask. Operators of the domain ``com.microsoft`` are ONNX Runtime's own:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[np.float32]]

INPUT, OUTPUT = "embedded", "pooled"
_MS = "com.microsoft"
_INT8_MAX = 127
_EPSILON = 1e-12
"""``layer_norm_eps`` of the model's config.json."""


@dataclass(frozen=True)
class Shape:
    """What the graph needs to know of a BERT: layers, heads, width."""

    layers: int
    heads: int
    width: int


@dataclass
class _Graph:
    """Nodes and constants, collected in order."""

    weights: Weights
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def node(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])

    def product(self, source: str, name: str, matrix: NDArray[np.float32], bias: str = "") -> str:
        """``source @ matrix (+ bias)`` with an int8 matrix; the name of the result."""
        scale = np.maximum(np.abs(matrix).max(axis=0) / _INT8_MAX, 1e-12).astype(np.float32)
        quantised = np.clip(np.round(matrix / scale), -_INT8_MAX, _INT8_MAX).astype(np.int8)
        inputs = [
            source,
            self.constant(f"{name}.int8", quantised),
            self.constant(f"{name}.scale", scale),
            "",
        ]
        out = f"{name}.out"
        self.node("DynamicQuantizeMatMul", [*inputs, bias] if bias else inputs, [out], domain=_MS)
        return out


def build(weights: Weights, shape: Shape) -> bytes:
    """Return the serialised model: embedded tokens (b, n, width) to mean-pooled states (b, width).

    Raises:
        KeyError: the weights are not a BERT's.
        ImportError: the package ``onnx`` is missing.
    """
    from onnx import TensorProto, helper

    graph = _Graph(weights)
    state = _layer_norm(graph, INPUT, "embeddings.LayerNorm")
    for index in range(shape.layers):
        state = _layer(graph, state, f"encoder.layer.{index}", shape)
    axis = graph.constant("token_axis", np.array([1], dtype=np.int64))
    graph.node("ReduceMean", [state, axis], [OUTPUT], keepdims=0)
    tensors = (
        helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["b", "n", shape.width]),
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["b", shape.width]),
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "encoder", [tensors[0]], [tensors[1]], graph.constants),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(_MS, 1)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


def _layer(graph: _Graph, state: str, prefix: str, shape: Shape) -> str:
    attended = _attention(graph, state, prefix, shape)
    state = _skip_norm(graph, attended, state, f"{prefix}.attention.output")
    inner = f"{prefix}.intermediate.dense"
    out = graph.product(state, inner, graph.weights[f"{inner}.weight"].T)
    activated = f"{prefix}.gelu"
    graph.node("BiasGelu", [out, graph.weight(f"{inner}.bias")], [activated], domain=_MS)
    outer = f"{prefix}.output.dense"
    out = graph.product(activated, outer, graph.weights[f"{outer}.weight"].T)
    return _skip_norm(graph, out, state, f"{prefix}.output")


def _attention(graph: _Graph, state: str, prefix: str, shape: Shape) -> str:
    own = f"{prefix}.attention.self"
    parts = ("query", "key", "value")
    matrix = np.concatenate([graph.weights[f"{own}.{p}.weight"].T for p in parts], axis=1)
    bias = np.concatenate([graph.weights[f"{own}.{p}.bias"] for p in parts])
    joined = graph.product(state, own, matrix, graph.constant(f"{own}.bias", bias))
    split = [f"{own}.{p}.out" for p in parts]
    graph.node("Split", [joined], split, axis=-1, num_outputs=len(parts))
    mixed = f"{own}.mixed"
    graph.node("MultiHeadAttention", split, [mixed], domain=_MS, num_heads=shape.heads)
    dense = f"{prefix}.attention.output.dense"
    return graph.product(mixed, dense, graph.weights[f"{dense}.weight"].T)


def _skip_norm(graph: _Graph, value: str, skip: str, prefix: str) -> str:
    """LayerNorm(value + bias of the dense layer + skip)."""
    out = f"{prefix}.state"
    names = ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")
    inputs = [value, skip, *(graph.weight(f"{prefix}.{name}") for name in names)]
    graph.node("SkipLayerNormalization", inputs, [out], domain=_MS, epsilon=_EPSILON)
    return out


def _layer_norm(graph: _Graph, source: str, prefix: str) -> str:
    out = f"{prefix}.state"
    inputs = [source, graph.weight(f"{prefix}.weight"), graph.weight(f"{prefix}.bias")]
    graph.node("LayerNormalization", inputs, [out], epsilon=_EPSILON, axis=-1)
    return out
