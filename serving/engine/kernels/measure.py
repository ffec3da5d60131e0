"""Measures settings of vLLM's LoRA kernels on this GPU: `graftwork tune`.

A kernel takes a few microseconds, less than it costs to launch, so it is timed inside a CUDA graph,
as it runs in the engine, over more weights than the cache keeps. Each setting's result is compared
with that of vLLM's own; what differs is no setting.

Compiling takes most of the time: `python -m serving.engine.kernels.measure` compiles a share of the
settings in a process of its own, into the cache that all processes read.
"""

# ruff: noqa: SLF001 - vLLM's kernels take settings from nowhere else

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from serving.engine.kernels.files import EXPAND, SHRINK, Setting, Table, Wanted, put
from serving.engine.kernels.shapes import Shape

TOKENS: Final = (1, 8, 32, 64, 128, 256, 512, 2048)
"""Tokens in a step that settings are measured for; between them vLLM takes the nearest."""
_FIRST: Final = (8, 64, 256)
_FINALISTS: Final = 6
_COPIES: Final = 8
_CALLS: Final = 24
_TRIED: Final = 36
Tell = Callable[[str], None]


def candidates(kernel: str, shape: Shape, rank: int) -> list[Setting]:
    """Settings that are worth a try: a fixed sample of all combinations."""
    inner = shape.inputs if kernel == SHRINK else rank
    outer = rank if kernel == SHRINK else shape.outputs
    space = {
        "block_m": (16, 32, 64),
        "block_n": [n for n in (16, 32, 64, 128, 256) if n <= max(16, outer)],
        "block_k": [k for k in (16, 32, 64, 128, 256) if k <= max(16, inner)],
        "num_warps": (2, 4, 8),
        "num_stages": (2, 3, 4),
    }
    if kernel == SHRINK:
        space["split_k"] = (1, 4, 8, 16, 32, 64)
        space["block_k"] = (64, 128, 256)
        space["group_size_m"] = (8,)
    every = [dict(zip(space, one, strict=True)) for one in itertools.product(*space.values())]
    chosen = random.Random(f"{kernel}{shape}{rank}").sample(every, min(_TRIED, len(every)))  # noqa: S311 - repeatable
    return [{**one, "num_ctas": 1, "max_nreg": None} for one in chosen]


@dataclass
class Bench:
    """One kernel over one kind of matrix."""

    kernel: str
    shape: Shape
    wanted: Wanted

    def __post_init__(self) -> None:
        from vllm.lora.ops.triton_ops import lora_expand_op, lora_shrink_op
        from vllm.lora.ops.triton_ops.lora_kernel_metadata import LoRAKernelMeta

        self._module = lora_shrink_op if self.kernel == SHRINK else lora_expand_op
        self._meta = LoRAKernelMeta.make(self.wanted.max_loras, max(TOKENS), "cuda")
        slots, rank, shape = self.wanted.max_loras, self.wanted.rank, self.shape
        size = (rank, shape.inputs) if self.kernel == SHRINK else (shape.outputs, rank)
        self._weights = [
            [
                torch.randn(slots, 1, *size, dtype=torch.bfloat16, device="cuda") * 0.02
                for _ in range(shape.slices)
            ]
            for _ in range(_COPIES)
        ]

    def seconds(self, tokens: int, adapters: int, setting: Setting | None) -> float | None:
        """Of one call; None where it fails or computes something else. ``None`` is vLLM's own."""
        call, result = self._call(tokens, adapters)
        try:
            with self._set_to(None):
                call(0)
                expected = result().clone()
            with self._set_to(setting):
                call(0)
                if not torch.allclose(result(), expected, rtol=0.02, atol=0.02):
                    return None
                return self._timed(call)
        except Exception:  # noqa: BLE001 - a setting that does not compile or fit is none
            return None

    def compile(self, setting: Setting) -> None:
        """Have it in the cache."""
        self.seconds(16, 1, setting)

    def _call(
        self, tokens: int, adapters: int
    ) -> tuple[Callable[[int], None], Callable[[], torch.Tensor]]:
        rank, shape = self.wanted.rank, self.shape
        mapping = torch.arange(tokens, dtype=torch.int32) % adapters
        self._meta.prepare_tensors(mapping)
        meta = self._meta.meta_args(tokens, specialize_active_lora=False)
        torch.manual_seed(tokens)
        if self.kernel == SHRINK:
            x = torch.randn(tokens, shape.inputs, dtype=torch.bfloat16, device="cuda")
            out = torch.empty(shape.slices, tokens, rank, dtype=torch.float32, device="cuda")

            def shrink(n: int) -> None:
                self._module._lora_shrink(x, self._weights[n % _COPIES], out, *meta, 1.0)

            return shrink, lambda: out
        wide = shape.slices * shape.outputs
        x = torch.randn(shape.slices, tokens, rank, dtype=torch.float32, device="cuda")
        out = torch.zeros(tokens, wide, dtype=torch.bfloat16, device="cuda")

        def expand(n: int) -> None:
            if n == 0:
                out.zero_()
            self._module._lora_expand(x, self._weights[n % _COPIES], out, *meta, 0, True)

        return expand, lambda: out

    @contextmanager
    def _set_to(self, setting: Setting | None) -> Iterator[None]:
        before = self._module.get_lora_op_configs
        if setting is not None:
            self._module.get_lora_op_configs = lambda *_, **__: setting
        try:
            yield
        finally:
            self._module.get_lora_op_configs = before

    def _timed(self, call: Callable[[int], None]) -> float:
        call(1)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for n in range(1, _CALLS + 1):
                call(n)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        best = float("inf")
        for _ in range(4):
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            best = min(best, begin.elapsed_time(end) / 1000 / _CALLS)
        return best


def tune(wanted: Wanted, tell: Tell, *, processes: int) -> dict[str, Table]:
    """Measure every kernel and shape; by kernel the table of what was best."""
    _compile_all(wanted, tell, processes=processes)
    tables: dict[str, Table] = {SHRINK: {}, EXPAND: {}}
    for kernel, shape in itertools.product((SHRINK, EXPAND), wanted.shapes):
        bench = Bench(kernel, shape, wanted)
        gains = []
        for tokens, setting, gain in _best(bench, candidates(kernel, shape, wanted.rank)):
            gains.append(f"{tokens}: {gain:.2f}")
            if setting is not None:
                put(tables[kernel], wanted.keys(kernel, shape), tokens, setting)
        tell(f"{kernel.lower()} {shape}: time against vLLM's own by tokens: {', '.join(gains)}")
        del bench
        torch.cuda.empty_cache()
    return tables


def _best(bench: Bench, tried: list[Setting]) -> Iterator[tuple[int, Setting | None, float]]:
    """By number of tokens the best setting, and its time as a share of that of vLLM's own."""
    scores = {n: sum(_cost(bench, m, each) for m in _FIRST) for n, each in enumerate(tried)}
    finalists = [tried[n] for n in sorted(scores, key=lambda n: scores[n])[:_FINALISTS]]
    for tokens in TOKENS:
        own = _cost(bench, tokens, None)
        costs = [_cost(bench, tokens, each) for each in finalists]
        best = min(range(len(costs)), key=lambda n: costs[n])
        if costs[best] < own:
            yield tokens, finalists[best], costs[best] / own
        else:
            yield tokens, _own(bench, tokens), 1.0


def _cost(bench: Bench, tokens: int, setting: Setting | None) -> float:
    """Seconds with one adapter in the batch and with as many as there may be."""
    cost = 0.0
    for adapters in {1, min(tokens, bench.wanted.max_loras)}:
        seconds = bench.seconds(tokens, adapters, setting)
        if seconds is None:
            return float("inf")
        cost += seconds
    return cost


def _own(bench: Bench, tokens: int) -> Setting | None:
    """vLLM's own setting, so that the nearest measured one is not taken in its place."""
    kernel, shape, rank = bench.kernel, bench.shape, bench.wanted.rank
    found: Any = bench._module.get_lora_op_configs(
        "shrink" if kernel == SHRINK else "expand",
        max_loras=bench.wanted.max_loras + 1,
        batch=tokens,
        hidden_size=shape.inputs if kernel == SHRINK else shape.outputs,
        rank=rank,
        num_slices=shape.slices,
        **({} if kernel == SHRINK else {"add_inputs": True}),
    )
    return dict(found)


def _compile_all(wanted: Wanted, tell: Tell, *, processes: int) -> None:
    tell(f"compiling settings in {processes} processes")
    shares: list[subprocess.Popen[bytes]] = []
    try:
        _begin_all(wanted, shares, processes)
        for each in shares:
            each.wait()
    finally:  # whoever ends this ends them
        for each in shares:
            each.kill()


def _begin_all(wanted: Wanted, shares: list[subprocess.Popen[bytes]], processes: int) -> None:
    for share in range(processes):
        job = {
            "wanted": {**asdict(wanted), "shapes": [asdict(each) for each in wanted.shapes]},
            "share": share,
            "of": processes,
        }
        command = [sys.executable, "-m", "serving.engine.kernels.measure", json.dumps(job)]
        shares.append(subprocess.Popen(command))  # noqa: S603 - ourselves


def _compile_share(job: dict[str, Any]) -> None:
    """In a process of its own."""
    told = dict(job["wanted"])
    told["shapes"] = tuple(Shape(**each) for each in told["shapes"])
    wanted = Wanted(**told)
    number = itertools.count()
    for kernel, shape in itertools.product((SHRINK, EXPAND), wanted.shapes):
        bench = None
        for setting in candidates(kernel, shape, wanted.rank):
            if next(number) % job["of"] == job["share"]:
                bench = bench or Bench(kernel, shape, wanted)
                bench.compile(setting)


if __name__ == "__main__":
    _compile_share(json.loads(sys.argv[1]))
