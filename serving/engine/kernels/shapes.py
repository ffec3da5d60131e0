"""Which matrices LoRA multiplies with in a model, as vLLM's kernels see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# vLLM serves these linears of a layer as one; each is a slice of its kernels' grids.
_TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
# Of these, each GPU of a tensor-parallel group holds a share of the inputs, of all others of the
# outputs.
_ROW_PARALLEL = frozenset({"o_proj", "down_proj", "out_proj", "c_proj", "dense_4h_to_h", "fc2"})


@dataclass(frozen=True, order=True)
class Shape:
    """One kind of linear: ``slices`` matrices of ``inputs`` columns, ``outputs`` rows at most."""

    slices: int
    inputs: int
    outputs: int


def shapes(linears: Mapping[str, tuple[int, int]], tensor_parallel: int = 1) -> list[Shape]:
    """The distinct ones of a model.

    Args:
        linears: module path to (out features, in features), as ``BaseFacts`` has them.
        tensor_parallel: GPUs that share each matrix.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for path, size in linears.items():
        sizes[path.rpartition(".")[2]] = size
    found = {_shape(group, sizes, tensor_parallel) for group in _groups(sizes)}
    return sorted(found)


def _groups(names: Iterable[str]) -> list[list[str]]:
    left, groups = set(names), []
    for together in _TOGETHER:
        if left.issuperset(together):
            groups.append(list(together))
            left -= set(together)
    return [*groups, *([name] for name in sorted(left))]


def _shape(group: list[str], sizes: Mapping[str, tuple[int, int]], parallel: int) -> Shape:
    outputs = max(sizes[name][0] for name in group)
    inputs = sizes[group[0]][1]
    if group[0] in _ROW_PARALLEL:
        return Shape(len(group), inputs // parallel, outputs)
    return Shape(len(group), inputs, outputs // parallel)
