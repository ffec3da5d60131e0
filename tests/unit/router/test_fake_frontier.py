"""The fake frontier as a process: for benchmarks and for people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[3]
ASK = {"model": "m", "messages": [{"role": "user", "content": "[[fault:status:418]]"}]}


def test_it_runs_as_a_process_and_ends_by_itself() -> None:
    """It says where it listens, takes faults by prompt and by request, and is gone in time."""
    command = [sys.executable, "-m", "tests.fakes.frontier", "--seconds", "4"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.post("/v1/chat/completions", json=ASK).status_code == 418
            due = client.post("/fake/faults", json=[{"kind": "status", "status": 503}])
            assert due.json() == {"due": 1}
            ask = {"model": "m", "input": ["a"]}
            assert client.post("/v1/embeddings", json=ask).status_code == 503
            assert client.post("/v1/embeddings", json=ask).status_code == 200
            first = client.get("/fake/requests").json()[0]
            assert first["path"] == "/v1/chat/completions"
        assert process.wait(60) == 0
