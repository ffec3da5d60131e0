"""`make bench-swap`: versions replaced and rolled back under load, against vLLM's own route.

Graftwork: two engine replicas, clients with a shared prefix on one alias, ten flips and some new
versions, once with a load that leaves the cores room and once with 16 clients. Every answer must be
exactly what the version that it names answers. Then what a publish costs running streams. The peer:
vLLM's own server, the same clients, flips and pauses, `load_lora_adapter` under one name.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from adapters.records.line import seconds as read_time
from benchmarks import swap_native
from benchmarks.api import QUESTIONS, Api, body
from benchmarks.processes import running
from benchmarks.swapping import (
    ALIAS,
    SCALES,
    Flip,
    Tally,
    clients,
    flip,
    known_answers,
    p99,
    spread,
)
from benchmarks.variants import variant_tar
from serving.bringup.edge import free_port

_HOST = "127.0.0.1"
_PAUSE_S = 1.0
_PUSHES_BESIDE_STREAMS = 40
_SETTLE_S, _REST_S = 0.5, 0.5
_STEPS = ("received", "checked", "stored", "preparing", "prepared")


@dataclass(frozen=True)
class Pushed:
    """A version that went live."""

    name: str
    seconds: float
    steps: dict[str, float]
    """Server: seconds from one step to the next."""
    load: float
    """Server: the slowest replica's load, seconds, in which that engine computes nothing else."""


async def _go_live(api: Api, data: bytes) -> dict[str, Any]:
    """Publish an archive and wait until it is live on every replica."""
    path = f"/admin/v1/adapters/{ALIAS}/versions?wait=live"
    answer: dict[str, Any] = await api.post(path, data=data)
    if answer["state"] != "live":
        raise RuntimeError(f"not live: {answer}")
    return answer


async def _push(api: Api, scale: float, seed: int) -> Pushed:
    """Publish a version, and ask the server afterwards what took how long."""
    data = variant_tar("returns", scale, seed)
    started = time.perf_counter()
    answer = await _go_live(api, data)
    seconds = time.perf_counter() - started
    version = await api.get(f"/admin/v1/adapters/{ALIAS}/versions/{answer['digest']}")
    steps = await _steps(api, answer["digest"])
    return Pushed(answer["name"], seconds, steps, float(version["load_seconds"]))


async def _steps(api: Api, digest: str) -> dict[str, float]:
    at: dict[str, float] = {}
    async for event in api.events():
        if event.get("digest") != digest:
            continue
        kind = event["kind"]
        if kind == "version-received":
            at["received"] = read_time(event["at"])
        elif kind == "version-moved":
            at[event["state"]] = read_time(event["at"])
        elif kind == "alias-changed":
            at["applied"] = read_time(event["at"])
            break
    times = [(step, at[step]) for step in (*_STEPS, "applied")]
    return {later: end - begin for (_, begin), (later, end) in itertools.pairwise(times)}


async def _flips(api: Api, live: str, other: str) -> list[Flip]:
    found = []
    for _ in range(5):
        await asyncio.sleep(_PAUSE_S)
        found.append(await flip(api, "rollback", {}, other))
        await asyncio.sleep(_PAUSE_S)
        found.append(await flip(api, "promote", {"digest": live.partition("@")[2]}, live))
    return found


async def _under_load(
    api: Api, number: int, seeds: list[int], known: dict[str, dict[str, str]]
) -> None:
    """Ten flips and some new versions while so many clients are served; prints what they saw."""
    first, second = [await _push(api, scale, seeds.pop()) for scale in SCALES]
    for pushed in (first, second):
        known[pushed.name] = await known_answers(api, pushed.name)
    differ = sum(known[first.name][q] != known[second.name][q] for q in QUESTIONS)
    pushes = []
    async with clients(api, number) as tally:
        flips = await _flips(api, second.name, first.name)
        for _ in range(4):
            pushes.append(await _push(api, 0.6, seeds.pop()))
            known[pushes[-1].name] = await known_answers(api, pushes[-1].name)
    print(
        f"  {number} clients, {len(QUESTIONS)} questions of which {differ} tell the versions apart"
    )
    _print_tally(tally, known)
    for what in ("applied", "answered", "visible"):
        print(f"    flip {what:10} {spread([getattr(f, what) for f in flips], 1000)} ms")
    print(f"    push to live    {spread([p.seconds for p in pushes], 1, 2)} s", flush=True)
    _print_steps(pushes)


def _print_tally(tally: Tally, known: dict[str, dict[str, str]]) -> None:
    wrong = tally.wrong(known)
    rate = len(tally.answers) / tally.seconds
    print(f"    answers {len(tally.answers)} in {tally.seconds:.0f} s ({rate:.1f}/s), "
          f"failed {sum(tally.failed.values())} {dict(tally.failed) or ''}, "
          f"of a wrong version {len(wrong)}")  # fmt: skip
    for each in wrong[:3]:
        print(f"      {each.version}: {each.text!r}"[:300])


def _print_steps(pushes: list[Pushed]) -> None:
    parts = [
        f"{step} {statistics.median(p.steps[step] for p in pushes) * 1000:.0f}"
        for step in (*_STEPS[1:], "applied")
    ]
    print(f"      median ms until {', '.join(parts)}; "
          f"slowest load into an engine {spread([p.load for p in pushes], 1000)}")  # fmt: skip


async def _stream(api: Api, gaps: list[tuple[float, float]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        request = body(ALIAS, QUESTIONS[0], max_tokens=128, ignore_eos=True)
        gaps.extend([gap async for gap in api.gaps(request)])


async def _gaps_while_loading(api: Api, streams: int, seeds: list[int]) -> None:
    gaps: list[tuple[float, float]] = []
    stop = asyncio.Event()
    # Made before: the clients' own work must not stand between two tokens.
    archives = [variant_tar("returns", 0.8, seeds.pop()) for _ in range(_PUSHES_BESIDE_STREAMS)]
    tasks = [asyncio.create_task(_stream(api, gaps, stop)) for _ in range(streams)]
    await asyncio.sleep(3.0)
    resting, pushing = [], []
    # By turns: what else the machine does meets both alike. After a push the old version drains.
    for archive in archives:
        await asyncio.sleep(_SETTLE_S)
        began = time.perf_counter()
        await asyncio.sleep(_REST_S)
        rested = time.perf_counter()
        await _go_live(api, archive)
        resting.append((began, rested))
        pushing.append((rested, time.perf_counter()))
    stop.set()
    await asyncio.gather(*tasks)
    quiet, loading = _within(gaps, resting), _within(gaps, pushing)
    calm, busy = p99(quiet), p99(loading)
    print(f"  {streams} streams: inter-token p99 quiet {calm * 1000:.1f} ms ({len(quiet)} gaps), "
          f"while loading {busy * 1000:.1f} ms ({len(loading)} gaps), ratio {busy / calm:.2f}; "
          f"medians {statistics.median(quiet) * 1000:.1f} and "
          f"{statistics.median(loading) * 1000:.1f} ms", flush=True)  # fmt: skip


def _within(gaps: list[tuple[float, float]], windows: list[tuple[float, float]]) -> list[float]:
    return [gap for at, gap in gaps if any(a <= at <= b for a, b in windows)]


async def _ours(given: argparse.Namespace) -> None:
    port = free_port()
    print(f"Graftwork, {given.replicas} engine replicas; median / worst", flush=True)
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "serving.cli", "serve", "--port", str(port)]
        command += ["--state-dir", f"{state}/state", "--replicas", str(given.replicas)]
        with running(command, f"http://{_HOST}:{port}/readyz"):
            async with Api(f"http://{_HOST}:{port}") as api:
                await _all_replicas(api, given.replicas)
                await _measure(api, given)


async def _measure(api: Api, given: argparse.Namespace) -> None:
    seeds = list(range(1000, 0, -1))
    known: dict[str, dict[str, str]] = {}
    pushes = [await _push(api, 0.9, seeds.pop()) for _ in range(5)]
    print(f"  nobody else: push to live {spread([p.seconds for p in pushes], 1, 2)} s")
    _print_steps(pushes)
    for number in given.clients:
        await _under_load(api, number, seeds, known)
    for streams in given.streams:
        await _gaps_while_loading(api, streams, seeds)


async def _all_replicas(api: Api, wanted: int) -> None:
    for _ in range(600):
        found: list[dict[str, Any]] = (await api.get("/admin/v1/replicas"))["data"]
        adapters = (await api.get("/admin/v1/adapters"))["data"]
        if sum(r["ready"] for r in found) >= wanted and len(adapters) >= 2:
            return
        await asyncio.sleep(0.5)
    raise RuntimeError(f"no {wanted} ready replicas")


def main() -> None:
    """Run ours, then the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--only", choices=("ours", "theirs"))
    given = parser.parse_args()
    if given.only != "theirs":
        asyncio.run(_ours(given))
    if given.only != "ours":
        asyncio.run(swap_native.measure(given.clients, _PAUSE_S))
    print("Ray Serve LLM is not in the table: ray[llm] 2.60 pins another vLLM and cannot be "
          "installed beside this one.")  # fmt: skip


if __name__ == "__main__":
    main()
