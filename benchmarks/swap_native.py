"""The peer of `make bench-swap`: vLLM's own server and its `load_lora_adapter`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks.api import QUESTIONS, Api
from benchmarks.processes import running
from benchmarks.swapping import ALIAS, SCALES, Given, Tally, clients, known_answers, spread
from benchmarks.variants import variant_directory
from serving.bringup.edge import free_port

_HOST = "127.0.0.1"
_FLIPS = 10
_LOAD = "/v1/load_lora_adapter"


async def measure(numbers: list[int], pause_s: float) -> None:
    """Start the server; for each number of clients, ten flips of one name at one path."""
    port = free_port()
    print("vLLM's own server, unload and load under one name; median / worst", flush=True)
    command = [sys.executable, "-m", "benchmarks.native_server", "--port", str(port)]
    env = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_LOGGING_LEVEL": "ERROR"}
    with tempfile.TemporaryDirectory() as scratch:
        versions = [
            variant_directory("returns", scale, seed, Path(scratch) / str(seed))
            for seed, scale in enumerate(SCALES, start=1)
        ]
        with running(command, f"http://{_HOST}:{port}/health", env):
            async with Api(f"http://{_HOST}:{port}") as api:
                server = _Server(api, versions, Path(scratch) / "current")
                await server.begin()
                for number in numbers:
                    await _under_load(server, number, pause_s)


@dataclass
class _Server:
    """One name at one path, as users of the route do it; ``periods`` are times of rest."""

    api: Api
    versions: list[Path]
    path: Path
    live: int = 0
    known: list[dict[str, str]] = field(default_factory=list)
    periods: list[tuple[float, float, int]] = field(default_factory=list)
    rests_since: float = 0.0

    async def begin(self) -> None:
        """Learn what each version answers, under a name of its own; then load the first."""
        for number, version in enumerate(self.versions):
            name = f"pinned-{number}"
            await self.api.post(_LOAD, {"lora_name": name, "lora_path": str(version)})
            self.known.append(await known_answers(self.api, name))
        self._point()
        await self.api.post(_LOAD, {"lora_name": ALIAS, "lora_path": str(self.path)})
        self.rests_since = time.perf_counter()

    async def flip(self) -> float:
        """Put the other version's files there, and have the name loaded again; seconds."""
        began = time.perf_counter()
        self.end_period()
        await self.api.post("/v1/unload_lora_adapter", {"lora_name": ALIAS})
        self.live = 1 - self.live
        self._point()
        await self.api.post(_LOAD, {"lora_name": ALIAS, "lora_path": str(self.path)})
        self.rests_since = time.perf_counter()
        return self.rests_since - began

    def end_period(self) -> None:
        """Note the time of rest that ends now."""
        self.periods.append((self.rests_since, time.perf_counter(), self.live))

    def is_wrong(self, given: Given) -> bool:
        """Whether an answer that began and ended within one time of rest is another version's."""
        return any(
            begin <= given.sent and given.answered <= end
            for begin, end, live in self.periods
            if self.known[live][given.question] != given.text
        )

    def _point(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(self.versions[self.live])


async def _under_load(server: _Server, number: int, pause_s: float) -> None:
    server.periods.clear()
    async with clients(server.api, number) as tally:
        flips: list[float] = []
        try:
            for _ in range(_FLIPS):
                await asyncio.sleep(pause_s)
                flips.append(await server.flip())
        except (aiohttp.ClientError, TimeoutError, RuntimeError) as error:
            print(f"  after {len(flips)} flips the server did not flip any more: {error}")
        await asyncio.sleep(pause_s)
    server.end_period()
    _print(server, tally, flips, number)


def _print(server: _Server, tally: Tally, flips: list[float], number: int) -> None:
    differ = sum(server.known[0][q] != server.known[1][q] for q in QUESTIONS)
    wrong = [given for given in tally.answers if server.is_wrong(given)]
    judged = [
        given
        for given in tally.answers
        if any(begin <= given.sent and given.answered <= end for begin, end, _ in server.periods)
    ]
    rate = len(tally.answers) / tally.seconds
    print(
        f"  {number} clients, {len(QUESTIONS)} questions of which {differ} tell the versions apart"
    )
    print(f"    answers {len(tally.answers)} in {tally.seconds:.0f} s ({rate:.1f}/s), failed "
          f"{sum(tally.failed.values())} {dict(tally.failed) or ''}, of a wrong version "
          f"{len(wrong)} of {len(judged)} sent and answered between two flips")  # fmt: skip
    if flips:
        print(f"    flip (unload, load) {spread(flips, 1000)} ms", flush=True)
