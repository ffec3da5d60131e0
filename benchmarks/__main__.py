"""`make bench`: what Graftwork costs in front of vLLM, against vLLM's own server, in one run.

Both serve the embedded base with the same engine arguments. Two layouts: every process anywhere
("shared cores"), and vLLM's processes on core 0 with everything else on core 1 ("free core"), where
the router does not take CPU from the engine. The load generator runs on core 1 in both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Figures, post, run
from benchmarks.processes import pin, running
from serving.bringup.edge import free_port
from serving.embedded import BASE_MODEL_ID

_HOST = "127.0.0.1"
_PATH = "/v1/chat/completions"
_CONFIG = "config/local.yaml"


def _body(tokens: int, *, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "What are your opening hours?"}]
    body = {"model": BASE_MODEL_ID, "messages": messages, "max_tokens": tokens, "temperature": 0}
    return json.dumps({**body, "stream": stream, "ignore_eos": True}).encode()


CASES: dict[str, tuple[int, bytes]] = {
    "c=1, 1 token": (1, _body(1, stream=False)),
    "c=16, 1 token": (16, _body(1, stream=False)),
    "c=16, 32 tokens streamed": (16, _body(32, stream=True)),
}


def _engine_on_core_0(title: str) -> set[int]:
    engine = "VLLM" in title or "ServeReplica:graftwork:engine" in title
    return {0} if engine or "benchmarks.native_server" in title else {1}


def _anywhere(_: str) -> set[int]:
    return set(range(os.cpu_count() or 1))


def _measure(port: int, seconds: float) -> dict[str, Figures]:
    figures = {}
    for name, (clients, body) in CASES.items():
        request = post(_HOST, port, _PATH, body)
        asyncio.run(run(_HOST, port, request, clients, min(3.0, seconds)))  # warm
        figures[name] = asyncio.run(run(_HOST, port, request, clients, seconds))
    return figures


def _layouts(pid: int, port: int, seconds: float) -> dict[str, dict[str, Figures]]:
    layouts: dict[str, Callable[[str], set[int]]] = {
        "free core": _engine_on_core_0,
        "shared cores": _anywhere,
    }
    results = {}
    for layout, core_of in layouts.items():
        pin(pid, core_of)
        with _on_one_core():
            results[layout] = _measure(port, seconds)
        for name, figures in results[layout].items():
            print(f"  {layout:13} {name:25} {figures}", flush=True)
    return results


def _native(seconds: float) -> dict[str, dict[str, Figures]]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.native_server", "--port", str(port)]
    print("vLLM's own server", flush=True)
    with running(
        command, f"http://{_HOST}:{port}/health", {"VLLM_LOGGING_LEVEL": "WARNING"}
    ) as pid:
        return _layouts(pid, port, seconds)


def _graftwork(seconds: float) -> dict[str, dict[str, Figures]]:
    port = free_port()
    print("Graftwork", flush=True)
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "serving.cli", "serve", "--config", _CONFIG]
        command += ["--port", str(port), "--state-dir", str(Path(state) / "state")]
        with running(command, f"http://{_HOST}:{port}/readyz") as pid:
            return _layouts(pid, port, seconds)


@contextmanager
def _on_one_core() -> Iterator[None]:
    """The load generator keeps to core 1 while it measures; servers start on all of them."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {1} if len(every) > 1 else {0})
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def main() -> None:
    """Run both, print both, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="per case")
    seconds = parser.parse_args().seconds
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores", flush=True)
    native, ours = _native(seconds), _graftwork(seconds)
    print("\n| layout | case | vLLM req/s | Graftwork req/s | ratio | added p50 ms |")
    print("| --- | --- | --: | --: | --: | --: |")
    for layout, cases in native.items():
        for name, theirs in cases.items():
            mine = ours[layout][name]
            ratio = mine.requests_per_s / theirs.requests_per_s
            print(
                f"| {layout} | {name} | {theirs.requests_per_s:.0f} | {mine.requests_per_s:.0f} "
                f"| {ratio:.2f} | {mine.p50_ms - theirs.p50_ms:+.2f} |"
            )


if __name__ == "__main__":
    main()
