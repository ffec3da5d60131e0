"""`make bench-adapters`: many registered adapters over few places, with skewed traffic.

200 aliases are published on one engine replica that holds 32 of them, 4 at a time in a batch.
Requests arrive at random times at a fixed rate; which adapter they name follows Zipf's law. Three
loads take turns: the hot adapters' requests alone, the same *number* of requests all for hot
adapters, and the skewed mix with its long cold tail. Nobody may fail, and nobody may get another
adapter's answer; the hot adapters' p99 is compared.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.api import QUESTIONS, Api, body
from benchmarks.processes import running
from benchmarks.swapping import p99
from benchmarks.variants import variant_tar
from serving.bringup.edge import free_port

_HOST = "127.0.0.1"
_TOKENS = 16
_PUSHES_AT_ONCE = 6
_CALIBRATE_S = 10.0
_CALIBRATING_CLIENTS = 8
_UTILISATION = 0.5


def alias_of(rank: int) -> str:
    """The alias at this place of the popularity list, from 0."""
    return f"adapter-{rank:03d}"


@dataclass
class Seen:
    """What one load's requests got."""

    latency: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    """Seconds, by whether the request was for a hot adapter."""
    by: Counter[tuple[bool, str]] = field(default_factory=Counter)
    """(hot, who answered: ``own``, ``base`` or ``other``)."""
    failed: Counter[int] = field(default_factory=Counter)

    def add(self, other: Seen) -> None:
        """Take another's counts in."""
        for hot, values in other.latency.items():
            self.latency[hot].extend(values)
        self.by.update(other.by)
        self.failed.update(other.failed)


async def _publish(api: Api, number: int) -> float:
    """Publish every alias, the coldest first, so that the hot ones are resident at the end."""
    slots = asyncio.Semaphore(_PUSHES_AT_ONCE)

    async def one(rank: int) -> None:
        async with slots:
            data = variant_tar("returns", 0.7, 5000 + rank)
            path = f"/admin/v1/adapters/{alias_of(rank)}/versions?wait=live"
            answer = await api.post(path, data=data)
            if answer["state"] != "live":
                raise RuntimeError(f"not live: {answer}")

    started = time.perf_counter()
    await asyncio.gather(*(one(rank) for rank in reversed(range(number))))
    return time.perf_counter() - started


async def _ask(api: Api, rank: int, hot: int, seen: Seen) -> None:
    alias = alias_of(rank)
    question = QUESTIONS[rank % len(QUESTIONS)]
    started = time.perf_counter()
    status, answer = await api.chat(body(alias, question, max_tokens=_TOKENS))
    seconds = time.perf_counter() - started
    if status != 200:
        seen.failed[status] += 1
        return
    model = str(answer["model"])
    own = model.startswith(f"{alias}@")
    who = "own" if own else "other" if "@" in model else "base"
    seen.by[rank < hot, who] += 1
    seen.latency[rank < hot].append(seconds)


async def _capacity(api: Api, hot: int) -> float:
    """Requests per second that the machine answers when asked without a pause."""
    seen, stop = Seen(), time.perf_counter() + _CALIBRATE_S

    async def client(turn: int) -> None:
        while time.perf_counter() < stop:
            await _ask(api, turn % hot, hot, seen)
            turn += 1

    await asyncio.gather(*(client(turn) for turn in range(_CALIBRATING_CLIENTS)))
    return len(seen.latency[True]) / _CALIBRATE_S


async def _load(
    api: Api, ranks: Sequence[int], rate: float, hot: int, chance: random.Random
) -> Seen:
    """Requests at random times, ``rate`` per second on average, whatever the earlier ones take."""
    seen = Seen()
    tasks = []
    due = time.perf_counter()
    for rank in ranks:
        due += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(api, rank, hot, seen)))
    await asyncio.gather(*tasks)
    return seen


async def _compare(api: Api, given: argparse.Namespace, rate: float) -> dict[str, Seen]:
    chance = random.Random(7)  # noqa: S311 - repeatable on purpose
    weights = [1 / (rank + 1) ** given.skew for rank in range(given.adapters)]
    hot = given.hot
    share = sum(weights[:hot]) / sum(weights)
    number = round(rate * given.seconds)
    found = {"hot alone": Seen(), "all hot": Seen(), "skewed": Seen()}
    for _ in range(given.rounds):
        skewed = chance.choices(range(given.adapters), weights, k=number)
        only = [rank for rank in skewed if rank < hot]
        all_hot = chance.choices(range(hot), weights[:hot], k=number)
        for name, ranks, at in (
            ("hot alone", only, rate * share),
            ("all hot", all_hot, rate),
            ("skewed", skewed, rate),
        ):
            found[name].add(await _load(api, ranks, at, hot, chance))
            await asyncio.sleep(2.0)
    return found


def _print(found: dict[str, Seen]) -> None:
    for name, seen in found.items():
        hot, cold = seen.latency[True], seen.latency[False]
        print(f"  {name:10} {len(hot) + len(cold)} requests, failed {sum(seen.failed.values())} "
              f"{dict(seen.failed) or ''}; hot p50 {statistics.median(hot) * 1000:.0f} "
              f"p99 {p99(hot) * 1000:.0f} ms")  # fmt: skip
        if cold:
            print(f"             cold p50 {statistics.median(cold) * 1000:.0f} "
                  f"p99 {p99(cold) * 1000:.0f} ms")  # fmt: skip
        shares = ", ".join(
            f"{'hot' if is_hot else 'cold'} by {who} {count}"
            for (is_hot, who), count in sorted(seen.by.items(), reverse=True)
        )
        print(f"             {shares}")
    ours = p99(found["skewed"].latency[True])
    for name in ("hot alone", "all hot"):
        print(f"  hot p99, skewed against {name}: {ours / p99(found[name].latency[True]):.2f}")


async def _measure(given: argparse.Namespace) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "serving.cli", "serve", "--port", str(port)]
        command += ["--state-dir", f"{state}/state"]
        with running(command, f"http://{_HOST}:{port}/readyz"):
            async with Api(f"http://{_HOST}:{port}") as api:
                seconds = await _publish(api, given.adapters)
                print(f"{given.adapters} adapters published in {seconds:.0f} s", flush=True)
                capacity = await _capacity(api, given.hot)
                rate = given.rate or capacity * _UTILISATION
                print(f"  {capacity:.1f} requests/s without a pause; the loads: {rate:.1f}/s, "
                      f"{given.hot} hot adapters, skew {given.skew}", flush=True)  # fmt: skip
                found = await _compare(api, given, rate)
                _print(found)
                await _print_moves(api)


async def _print_moves(api: Api) -> None:
    """How often adapters were brought in and made room, of what the server remembers."""
    kinds: Counter[str] = Counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3.0):
            async for event in api.events():
                kinds[event["kind"]] += 1
    print(f"  brought in {kinds['converged']}, made room {kinds['evicted']} (newest events)")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapters", type=int, default=200)
    parser.add_argument("--hot", type=int, default=8)
    parser.add_argument("--skew", type=float, default=1.1)
    parser.add_argument("--seconds", type=float, default=25.0, help="length of each load")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=float, help="requests/s; default: half of what it can")
    asyncio.run(_measure(parser.parse_args()))


if __name__ == "__main__":
    main()
