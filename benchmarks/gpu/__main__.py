"""`make bench-gpu`: what a card does with the product, part by part.

    python -m benchmarks.gpu [start] [swap] [throughput] [noise] [k] [train]

Each part is bounded in time and kept when it is done, so that a card that is lent for minutes is
used in pieces: what is kept is not measured again. On a machine without CUDA it says so and exits
with 2; ``--cpu`` goes the same way in small, with the embedded base.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.api import Api
from benchmarks.gpu import parts, results, scale
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.system import Ground
from benchmarks.processes import Ended
from benchmarks.train import SHAPES

_RESULTS = Path("benchmarks/RESULTS.md")
_NO_CARD = "no CUDA here: nvidia-smi names no card. Run it on one, or with --cpu in small."
_CPU_BASE = "embedded"
_COLD = "cache"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 measured, 1 a part failed or took too long, 2 no card."""
    given = _given(argv)
    name = None if given.cpu else scale.card()
    if name is None and not given.cpu:
        print(_NO_CARD, file=sys.stderr)
        return 2
    size = scale.on_the_cpu() if name is None else scale.on_a_card(name, given.shape)
    base = size.shape or _CPU_BASE
    kept = results.Kept(given.out / "parts")
    wanted = [part for part in given.parts if given.again or not kept.has(size.card, base, part)]
    for part in given.parts:
        if part not in wanted:
            print(f"{part}: measured already; --again measures it anew", flush=True)
    failed = _measure(size, base, wanted, given, kept) if wanted else 0
    print(results.rows(kept.all()))
    if size.on_cuda and not given.no_results:
        results.write_into(_RESULTS, kept.all())
    return 1 if failed else 0


def _given(argv: Sequence[str] | None) -> argparse.Namespace:
    every = [parts.START, *parts.PARTS]
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", None, __doc__, formatter_class=raw)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(every)}; all")
    parser.add_argument("--cpu", action="store_true", help="in small, on the embedded base")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="7B", help="of the served base")
    parser.add_argument("--limit-s", type=float, default=240.0, help="longest part, seconds")
    parser.add_argument(
        "--memory", type=float, default=0.45, help="share of the card's memory that serves"
    )
    parser.add_argument("--out", type=Path, default=Path(".bench-gpu"), help="what is kept")
    parser.add_argument("--work", type=Path, help="base, caches, states; default: below --out")
    parser.add_argument("--again", action="store_true", help="measure what is kept anew")
    parser.add_argument("--no-results", action="store_true", help=f"leave {_RESULTS} alone")
    given = parser.parse_args(argv)
    if unknown := set(given.parts) - set(every):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    given.parts = [part for part in every if part in given.parts or not given.parts]
    given.work = given.work or given.out / "work"
    return given


def _measure(
    size: Scale, base: str, wanted: list[str], given: argparse.Namespace, kept: results.Kept
) -> int:
    """Bring the product up, measure, keep; how many parts failed."""
    given.out.mkdir(parents=True, exist_ok=True)
    ground = Ground(given.work, size, given.memory)
    ground.prepare()
    with _up(ground, size, base, parts.START in wanted, kept) as url:
        return sum(
            not _one(part, url, ground, (size, base), given, kept)
            for part in wanted
            if part != parts.START
        )


@contextmanager
def _up(
    ground: Ground, size: Scale, base: str, measured: bool, kept: results.Kept
) -> Iterator[str]:
    """The running product; where that is wanted, its first start and its second are measured."""
    cache = f"{_COLD}-{time.time_ns()}" if measured else _COLD
    first = None
    if measured:
        with ground.served(cache) as (_, first):
            print(f"start: ready after {first:.0f} s, with nothing compiled before", flush=True)
    with ground.served(cache) as (url, second):
        print(f"start: ready after {second:.0f} s", flush=True)
        if first is not None:
            figures = {"first start, s": f"{first:.0f}", "second start, s": f"{second:.0f}"}
            kept.put(results.result(size.card, base, parts.START, figures))
        yield url


def _one(
    part: str,
    url: str,
    ground: Ground,
    what: tuple[Scale, str],
    given: argparse.Namespace,
    kept: results.Kept,
) -> bool:
    """Measure one part within its time, and keep it; False when that failed."""
    size, base = what

    async def run() -> dict[str, str]:
        async with Api(url) as api, asyncio.timeout(given.limit_s):
            bench = parts.Bench(api, size, ground.base, given.out, given.limit_s)
            return await parts.PARTS[part](bench)

    began = time.perf_counter()
    try:
        figures = asyncio.run(run())
    except Ended:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the other parts are still to be had
        print(f"{part}: failed after {time.perf_counter() - began:.0f} s: {error!r}", flush=True)
        return False
    kept.put(results.result(size.card, base, part, figures))
    print(f"{part}: {time.perf_counter() - began:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
