"""More live aliases than places: the system is ready, and says which are cold."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import whole_system


def packed(directory: Path) -> bytes:
    """An adapter's directory as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(directory, arcname="adapter")
    return buffer.getvalue()


def test_one_alias_more_than_fits_does_not_keep_the_system_from_being_ready(
    tmp_path: Path,
) -> None:
    """Also while one makes room for the other; the cold one's requests are answered."""
    with whole_system(
        tmp_path / "state", engine={"max_loras": 2, "max_cpu_loras": 2}, seed_adapters=None
    ) as system:
        names = []
        for seed in (1, 2, 3):
            pushed = httpx.post(
                f"{system.url}/admin/v1/adapters/alias-{seed}/versions",
                params={"wait": "live"},
                content=packed(tiny_adapter(tmp_path / str(seed), seed)),
                headers={"content-type": "application/x-tar"},
                timeout=30,
            )
            assert pushed.status_code == 201, pushed.text
            names.append(f"alias-{seed}@{pushed.json()['digest'][:12]}")
        answer = ready(system.url, cold=1)
        assert (answer["status"], answer["missing"]) == ("ready", [])
        (cold,) = answer["cold"]
        assert cold in names
        body = {"model": cold.partition("@")[0], "messages": [{"role": "user", "content": "hi"}]}
        deadline = time.monotonic() + 60
        while cold in ready(system.url, cold=1)["cold"]:
            # Asked for, it comes in, another leaves, and nothing is missing at any moment.
            assert httpx.post(f"{system.url}/v1/chat/completions", json=body).status_code == 200
            assert time.monotonic() < deadline
        assert ready(system.url, cold=1)["missing"] == []


def ready(url: str, cold: int) -> dict[str, Any]:
    """The answer, once so many are cold; it never says "not ready"."""
    found: dict[str, Any] = {}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = httpx.get(f"{url}/readyz")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        if len(found["cold"]) == cold:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {cold} cold versions: {found}")
