"""`make bench-swap`: versions replaced and rolled back under load, against vLLM's own route.

Ours: two engine replicas, 16 clients with a shared prefix on one alias, ten replacements and
rollbacks. Every answer must be exactly what the version that it names answers. Then what a publish
costs running streams. The peer: vLLM's own server, the same load, `load_lora_adapter` under one
name.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.api import QUESTIONS, Api, body
from benchmarks.processes import running
from benchmarks.variants import variant_directory, variant_tar
from serving.bringup.edge import free_port

ALIAS = "swap"
SCALES = (1.0, 0.4)
_HOST = "127.0.0.1"


@dataclass
class Tally:
    """What the clients saw."""

    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def _client(
    api: Api, number: int, known: dict[tuple[str, str], str], tally: Tally, stop: asyncio.Event
) -> None:
    turn = number
    while not stop.is_set():
        question = QUESTIONS[turn % len(QUESTIONS)]
        turn += 1
        status, answer = await api.chat(body(ALIAS, question))
        if status != 200:
            tally.failed.append(f"{status} {answer}")
            continue
        version = answer["model"]
        tally.answers[version] += 1
        text = answer["choices"][0]["message"]["content"]
        if known.get((version, question)) != text:
            tally.wrong.append(f"{version}: {text!r}")


async def _known(api: Api, name: str) -> dict[tuple[str, str], str]:
    return {(name, question): await api.text(body(name, question)) for question in QUESTIONS}


async def _push(api: Api, scale: float, seed: int) -> tuple[str, float]:
    """Publish a version; returns its engine name and the seconds until it was live everywhere."""
    data = variant_tar("returns", scale, seed)
    started = time.perf_counter()
    path = f"/admin/v1/adapters/{ALIAS}/versions?wait=live"
    answer = await api.post(path, data=data)
    seconds = time.perf_counter() - started
    if answer["state"] != "live":
        raise RuntimeError(f"not live: {answer}")
    return f"{ALIAS}@{answer['digest'][:12]}", seconds


async def _flip(api: Api, action: str, value: dict[str, str], wanted: str) -> float:
    """Seconds from asking for a flip to the first decision that shows it."""
    started = time.perf_counter()
    asked = asyncio.create_task(api.post(f"/admin/v1/adapters/{ALIAS}/{action}", value))
    while True:
        decision = await api.post("/v1/decision", body(ALIAS, QUESTIONS[0]))
        if decision["target"] == f"adapter:{wanted}":
            seen = time.perf_counter() - started
            await asked
            return seen
        if time.perf_counter() - started > 60:
            raise RuntimeError(f"{action} was not seen in 60 s")


async def _replace_under_load(api: Api, clients: int) -> None:
    pushes: list[float] = []
    first, seconds = await _push(api, SCALES[0], 1)
    pushes.append(seconds)
    known = await _known(api, first)
    second, seconds = await _push(api, SCALES[1], 2)
    known |= await _known(api, second)
    pushes.append(seconds)
    tally, stop = Tally(), asyncio.Event()
    tasks = [asyncio.create_task(_client(api, n, known, tally, stop)) for n in range(clients)]
    flips: list[float] = []
    live, other = second, first
    started = time.perf_counter()
    for _ in range(5):
        await asyncio.sleep(1.0)
        flips.append(await _flip(api, "rollback", {}, other))
        await asyncio.sleep(1.0)
        flips.append(await _flip(api, "promote", {"digest": live.partition("@")[2]}, live))
    under_load: list[float] = []
    for seed in (11, 12, 13):
        name, seconds = await _push(api, 0.6, seed)
        under_load.append(seconds)
        known |= await _known(api, name)
        # Its answers are known only now: what was counted as wrong meanwhile is looked at again.
    elapsed = time.perf_counter() - started
    stop.set()
    await asyncio.gather(*tasks)
    wrong = [w for w in tally.wrong if not _was_right(w, known)]
    total = sum(tally.answers.values())
    print(f"  clients {clients}, answers {total} in {elapsed:.0f} s, versions {len(tally.answers)}")
    print(f"  failed requests            {len(tally.failed)}")
    print(f"  answers of a wrong version {len(wrong)}")
    print(f"  rollback/promote visible   {_spread(flips, 1000)} ms")
    print(f"  push to live, quiet        {_spread(pushes, 1)} s")
    print(f"  push to live, under load   {_spread(under_load, 1)} s")
    for line in (*tally.failed[:3], *wrong[:3]):
        print(f"    {line[:300]}")


def _was_right(line: str, known: dict[tuple[str, str], str]) -> bool:
    """Whether an answer given before its version's answers were known was one of them."""
    version, _, text = line.partition(": ")
    return text in {repr(t) for (name, _), t in known.items() if name == version}


async def _stream(
    api: Api, model: str, gaps: list[tuple[float, float]], stop: asyncio.Event
) -> None:
    while not stop.is_set():
        call = body(model, QUESTIONS[0], max_tokens=128, ignore_eos=True)
        gaps.extend([gap async for gap in api.gaps(call)])


async def _gaps_while_loading(api: Api, streams: int) -> None:
    gaps: list[tuple[float, float]] = []
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_stream(api, ALIAS, gaps, stop)) for _ in range(streams)]
    await asyncio.sleep(3.0)
    quiet_from = time.perf_counter()
    await asyncio.sleep(8.0)
    busy_from = time.perf_counter()
    windows = []
    for seed in range(21, 27):
        began = time.perf_counter()
        await _push(api, 0.8, seed)
        windows.append((began, time.perf_counter()))
        await asyncio.sleep(0.5)
    stop.set()
    await asyncio.gather(*tasks)
    quiet = [gap for at, gap in gaps if quiet_from <= at < busy_from]
    loading = [gap for at, gap in gaps if any(a <= at <= b for a, b in windows)]
    calm, busy = _p99(quiet), _p99(loading)
    print(f"  inter-token p99: quiet {calm * 1000:.1f} ms, while loading {busy * 1000:.1f} ms, "
          f"ratio {busy / calm:.2f} ({streams} streams, {len(loading)} gaps)")  # fmt: skip


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def _spread(values: list[float], unit: float) -> str:
    return f"median {statistics.median(values) * unit:.2f}, worst {max(values) * unit:.2f}"


async def _ours(clients: int, streams: int, replicas: int) -> None:
    port = free_port()
    print(f"Graftwork, {replicas} engine replicas", flush=True)
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "serving.cli", "serve", "--port", str(port)]
        command += ["--state-dir", f"{state}/state", "--replicas", str(replicas)]
        with running(command, f"http://{_HOST}:{port}/readyz"):
            async with Api(f"http://{_HOST}:{port}") as api:
                await _all_replicas(api, replicas)
                await _replace_under_load(api, clients)
                await _gaps_while_loading(api, streams)


async def _all_replicas(api: Api, wanted: int) -> None:
    for _ in range(600):
        found = (await api.get("/admin/v1/replicas"))["replicas"]
        adapters = (await api.get("/admin/v1/adapters"))["adapters"]
        if sum(r["ready"] for r in found) >= wanted and len(adapters) >= 2:
            return
        await asyncio.sleep(0.5)
    raise RuntimeError(f"no {wanted} ready replicas")


async def _theirs(clients: int) -> None:
    """vLLM's own route: unload and load the same name at the same path, as its users do."""
    port = free_port()
    print("vLLM's own server, load_lora_adapter", flush=True)
    command = [sys.executable, "-m", "benchmarks.native_server", "--port", str(port)]
    env = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_LOGGING_LEVEL": "ERROR"}
    with tempfile.TemporaryDirectory() as scratch:
        versions = [
            variant_directory("returns", scale, seed, Path(scratch) / str(seed))
            for seed, scale in enumerate(SCALES, start=1)
        ]
        current = Path(scratch) / "current"
        with running(command, f"http://{_HOST}:{port}/health", env):
            async with Api(f"http://{_HOST}:{port}") as api:
                await _native_swaps(api, versions, current, clients)


async def _native_swaps(api: Api, versions: list[Path], current: Path, clients: int) -> None:
    known: list[dict[str, str]] = []
    for number, version in enumerate(versions):
        name = f"pinned-{number}"
        await api.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(version)})
        known.append({q: await api.text(body(name, q)) for q in QUESTIONS})
    _point(current, versions[0])
    load = {"lora_name": ALIAS, "lora_path": str(current)}
    await api.post("/v1/load_lora_adapter", load)
    state = {"live": 0, "flipping": False}
    failed: Counter[int] = Counter()
    wrong = total = 0
    stop = asyncio.Event()

    async def client(turn: int) -> None:
        nonlocal wrong, total
        while not stop.is_set():
            question, before = QUESTIONS[turn % len(QUESTIONS)], dict(state)
            turn += 1
            status, answer = await api.chat(body(ALIAS, question))
            if status != 200:
                failed[status] += 1
                continue
            total += 1
            settled = before == state and not before["flipping"]
            text = answer["choices"][0]["message"]["content"]
            wrong += settled and text != known[state["live"]][question]

    tasks = [asyncio.create_task(client(n)) for n in range(clients)]
    for turn in range(10):
        await asyncio.sleep(1.0)
        state["flipping"] = True
        await api.post("/v1/unload_lora_adapter", {"lora_name": ALIAS})
        _point(current, versions[(turn + 1) % 2])
        await api.post("/v1/load_lora_adapter", load)
        state.update(live=(turn + 1) % 2, flipping=False)
    await asyncio.sleep(1.0)
    stop.set()
    await asyncio.gather(*tasks)
    print(f"  clients {clients}, answers {total}")
    print(f"  failed requests            {sum(failed.values())} {dict(failed)}")
    print(f"  answers of a wrong version {wrong} (sent and answered between two swaps)")


def _point(link: Path, target: Path) -> None:
    """Make the path that vLLM is given lead to other files."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def main() -> None:
    """Run ours, then the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--only", choices=("ours", "theirs"))
    given = parser.parse_args()
    if given.only != "theirs":
        asyncio.run(_ours(given.clients, given.streams, given.replicas))
    if given.only != "ours":
        asyncio.run(_theirs(given.clients))
    print("Ray Serve LLM is not in the table: ray[llm] 2.60 pins another vLLM and cannot be "
          "installed beside this one.")  # fmt: skip


if __name__ == "__main__":
    main()
