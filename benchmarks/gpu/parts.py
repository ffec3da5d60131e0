"""What is measured on the running product; each part by itself, each into a few figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from benchmarks import train
from benchmarks.api import Api
from benchmarks.gpu.load import Counted, Words, streams, throughput
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.shape import NOTHING, adapter_tar
from benchmarks.swapping import ALIAS, clients, flip, p99, spread
from router.config.routing import LocalPrice

T = TypeVar("T")
_MOVED: Final = 1e-4
_SCORINGS: Final = 12
_NOISE_FILE: Final = "noise.json"
_K: Final = "graftwork_local_input_tokens_per_output_token"
_PRIOR: Final = LocalPrice(replica_hour_usd=0).input_tokens_per_output_token


@dataclass(frozen=True)
class Bench:
    """What each part has at hand.

    Attributes:
        api: the running product.
        base: directory of what it serves.
        folder: where files beside the figures go.
        limit_s: the longest that a part may take.
    """

    api: Api
    scale: Scale
    base: Path
    folder: Path
    limit_s: float

    async def push(self, alias: str, seed: int, strength: float = 1.0) -> tuple[str, float]:
        """Publish an adapter: its engine name, and seconds until it is live."""
        data = await asyncio.to_thread(adapter_tar, self.base, seed, strength)
        return await self.publish(alias, data)

    async def publish(self, alias: str, data: bytes) -> tuple[str, float]:
        """The same of an archive that was made before."""
        began = time.perf_counter()
        path = f"/admin/v1/adapters/{alias}/versions?wait=live"
        answer = await self.api.post(path, data=data)
        if answer["state"] != "live":
            raise RuntimeError(f"not live: {answer}")
        return str(answer["name"]), time.perf_counter() - began


Figures = dict[str, str]
Part = Callable[[Bench], Awaitable[Figures]]


async def swap(bench: Bench) -> Figures:
    """Pushes alone and under load, flips, and the gaps between tokens meanwhile."""
    api, pushes = bench.api, bench.scale.pushes
    seeds = iter(range(1, 1000))
    idle = [(await bench.push(ALIAS, next(seeds)))[1] for _ in range(pushes)]
    first, second = [(await bench.push(ALIAS, next(seeds)))[0] for _ in range(2)]
    archives = [
        await asyncio.to_thread(adapter_tar, bench.base, next(seeds)) for _ in range(pushes)
    ]
    number = max(2, bench.scale.clients // 4)
    async with clients(api, number) as tally:
        flips = [
            await flip(api, "rollback", {}, first),
            await flip(api, "promote", {"digest": second.partition("@")[2]}, second),
        ]
        loaded = [(await bench.publish(ALIAS, data))[1] for data in archives]
    quiet, loading = await _gaps(bench, archives)
    return {
        "push to live, idle, s (median / worst)": spread(idle, 1, 2),
        f"push to live beside {number} clients, s": spread(loaded, 1, 2),
        "flip visible beside them, ms": spread([each.visible for each in flips], 1000),
        "requests beside them, failed": f"{len(tally.answers)}, {sum(tally.failed.values())}",
        "inter-token quiet, ms (p50 / p99)": _p50_p99(quiet),
        "inter-token while loading, ms": _p50_p99(loading),
        "p99 while loading / quiet": f"{p99(loading) / p99(quiet):.2f}",
    }


async def _gaps(bench: Bench, archives: Sequence[bytes]) -> tuple[list[float], list[float]]:
    """By turns: gaps between tokens in half a second of rest, and during a push of known bytes."""
    resting, pushing = [], []
    async with streams(bench.api, "base", 4, bench.scale.written) as gaps:
        await asyncio.sleep(1.0)
        for number, archive in enumerate(archives):
            began = time.perf_counter()
            await asyncio.sleep(0.5)
            rested = time.perf_counter()
            await bench.publish(f"beside-{number}", archive)
            resting.append((began, rested))
            pushing.append((rested, time.perf_counter()))
            await asyncio.sleep(0.5)

    def within(windows: list[tuple[float, float]]) -> list[float]:
        return [gap for at, gap in gaps if any(begin <= at <= end for begin, end in windows)]

    return within(resting), within(pushing)


def _p50_p99(gaps: list[float]) -> str:
    return f"{statistics.median(gaps) * 1000:.1f} / {p99(gaps) * 1000:.1f}"


async def rates(bench: Bench) -> Figures:
    """Output tokens/s of the base, one adapter and several, by turns, in one run."""
    scale = bench.scale
    names = [f"many-{n}" for n in range(scale.adapters)]
    for seed, name in enumerate(names, 2000):
        await bench.push(name, seed)
    mixes = {"base": ["base"], "one adapter": names[:1], f"{len(names)} adapters": names}
    found: dict[str, list[float]] = {name: [] for name in mixes}
    for mix in mixes.values():
        await throughput(bench.api, mix, scale.clients, 1.0, 128, scale.written)
    for _ in range(2):
        for name, mix in mixes.items():
            done = await throughput(
                bench.api, mix, scale.clients, scale.seconds, 128, scale.written
            )
            found[name].append(_well(done).written_per_s)
    base = statistics.mean(found["base"])
    said = f"c={scale.clients}, tokens/s"
    figures = {f"{name}, {said}": ", ".join(f"{n:,.0f}" for n in ns) for name, ns in found.items()}
    for name in list(mixes)[1:]:
        figures[f"{name} / base"] = f"{statistics.mean(found[name]) / base:.2f}"
    return figures


def _well(done: Counted) -> Counted:
    if done.failed or not done.answers:
        raise RuntimeError(f"{done.failed} of {done.failed + done.answers} requests failed")
    return done


async def noise(bench: Bench) -> Figures:
    """How far the base's own log probabilities move beside other requests, and what the probe makes
    of an adapter that does nothing; the draws are kept for `python -m benchmarks.probe`.
    """
    prompts = [Words().text(24) for _ in range(4)]
    alone = [await _scored(bench.api, prompt) for prompt in prompts]
    again = [await _scored(bench.api, prompt) for prompt in prompts]
    moved: list[list[float]] = []
    async with streams(bench.api, "base", 15, bench.scale.written):
        for _ in range(_SCORINGS):
            for prompt, before in zip(prompts, alone, strict=True):
                now = await _scored(bench.api, prompt)
                moved.append([a - b for a, b in zip(now, before, strict=True)])
        refused = await _is_refused(bench)
    (bench.folder / _NOISE_FILE).write_text(json.dumps(moved))
    sizes = [abs(each) for row in moved for each in row]
    pairs = (pair for each in zip(alone, again, strict=True) for pair in zip(*each, strict=True))
    still = max(abs(one - other) for one, other in pairs)
    return {
        "alone again, largest, nats": f"{still:.2g}",
        "beside 15 streams, mean, nats": f"{statistics.mean(sizes):.2g}",
        "beside 15 streams, largest, nats": f"{max(sizes):.2g}",
        f"of tokens above {_MOVED:g}": f"{sum(s > _MOVED for s in sizes) / len(sizes):.0%}",
        "an adapter that does nothing, beside 15 streams": "refused" if refused else "WENT LIVE",
    }


async def _is_refused(bench: Bench) -> bool:
    try:
        await bench.push("nothing", time.time_ns() % 10**6, NOTHING)
    except RuntimeError:
        return True
    return False


async def _scored(api: Api, prompt: str) -> list[float]:
    """Log probabilities of a prompt's tokens but the first."""
    call = {"model": "base", "prompt": prompt, "max_tokens": 1, "temperature": 0,
            "echo": True, "logprobs": 0}  # fmt: skip
    answer = await api.post("/v1/completions", call)
    return [float(each) for each in answer["choices"][0]["logprobs"]["token_logprobs"][1:-1]]


async def ratio(bench: Bench) -> Figures:
    """K by load from the outside, and what the product itself says of it afterwards."""
    scale, api = bench.scale, bench.api
    reading = _well(await throughput(api, ["base"], 16, scale.seconds, scale.read, 1))
    figures = {"prompt tokens/s": f"{reading.read_per_s:,.0f}"}
    for load in scale.loads:
        done = _well(await throughput(api, ["base"], load, scale.seconds, 4, scale.written))
        # What the few prompt tokens took is not the generated ones'.
        own_s = done.seconds - done.read / reading.read_per_s
        k = reading.read_per_s / (done.written / own_s)
        figures[f"generated tokens/s, K with {load}"] = f"{done.written_per_s:,.0f}, {k:.1f}"
    # What it learns from needs prompts and answers in changing proportion.
    for load in scale.loads:
        for read in (8, scale.read):
            await throughput(api, ["base"], load, scale.seconds, read, scale.written)
    await asyncio.sleep(2.5)
    said = (await _metrics(api)).get(_K, "without a price")
    figures[f"K of the product's prices, {_PRIOR:g} until it is known"] = said
    return figures


async def _metrics(api: Api) -> dict[str, str]:
    """Those of Graftwork, without the labels: one process has each of these."""
    text = await api.text_of("/metrics")
    return dict(re.findall(r"^(graftwork_\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE))


async def training(bench: Bench) -> Figures:
    """LoRA training of some shapes, and what streams of an adapter feel beside it."""
    name, _ = await bench.push("beside-training", 3000)
    figures: Figures = {}
    for shape in bench.scale.trained:
        given = argparse.Namespace(
            examples=60 if not bench.scale.on_cuda else 500, words=40, steps=bench.scale.steps,
            batch_tokens=None, packing=None, threads=1 if not bench.scale.on_cuda else None,
            timeout_s=bench.limit_s, beside=bench.api.url, model=name.partition("@")[0], key=None,
            streams=2 if not bench.scale.on_cuda else 8,
        )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="graftwork-train-") as scratch:
            place = Path(scratch)
            done = await in_thread(
                partial(train.measure, shape, place, given), partial(train.give_up, place)
            )
        figures[f"{shape}: tokens/s"] = f"{done.tokens_per_s:,.0f}"
        figures[f"{shape}: s per 1,000 examples of {done.tokens_an_example:.0f} tokens"] = (
            f"{done.seconds_per_1000:,.1f}"
        )
        figures[f"{shape}: inter-token of an adapter, ms, quiet p50 / p99"] = train.gaps(
            done.quiet_ms
        )
        figures[f"{shape}: the same beside the training"] = train.gaps(done.beside_ms)
    return figures


async def in_thread(work: Callable[[], T], give_up: Callable[[], None]) -> T:
    """What ``work`` returns. Whoever stops waiting has it given up and waits for its end."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    finally:
        if not thread.done():
            give_up()
            await asyncio.wait([thread])


START: Final = "start"
PARTS: Final[dict[str, Part]] = {
    "swap": swap,
    "throughput": rates,
    "noise": noise,
    "k": ratio,
    "train": training,
}
