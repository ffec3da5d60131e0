"""The audit log of the real system: signed, provable, verified offline, erasable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.client import chat, eventually
from tests.system.config import OPENAI_FRONTIER
from tests.system.running import Running

pytestmark = pytest.mark.system

AUDIT = "/admin/v1/audit"
NAME = "Theodora Vance"


def get(http: httpx.Client, path: str = "", **query: Any) -> dict[str, Any]:
    """A JSON answer below the resource."""
    return dict(http.get(AUDIT + path, params=query).raise_for_status().json())


def test_what_was_asked_is_proved_and_erased(
    http: httpx.Client, system: Running, tmp_path: Path
) -> None:
    """A person's request is found, is under a signed root, verifies offline, and goes."""
    chat(http, OPENAI_FRONTIER, "hello", user=NAME)
    eventually(lambda: get(http, subject=NAME, kind="request.end")["data"], "the end's record")
    end = get(http, subject=NAME, kind="request.end")["data"][0]
    proof = get(http, f"/{end['sequence']}/proof", writer=end["writer"])
    assert (proof["leaf_hash"], proof["root"]) == (end["hash"], proof["checkpoint"]["root"])
    assert get(http, "/verify")["problems"] == []
    kept, keys = tmp_path / "checkpoint.json", tmp_path / "keys.json"
    kept.write_text(json.dumps(get(http, "/checkpoint")))
    keys.write_text(json.dumps(get(http, "/keys")))
    command = [sys.executable, "-m", "serving.cli", "audit", "verify", "--json"]
    command += ["--dir", str(system.state_dir / "audit")]
    command += ["--checkpoint", str(kept), "--key", str(keys)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = http.post("/admin/v1/erasures", json={"subject": NAME}).raise_for_status().json()

    def state() -> dict[str, Any]:
        found = http.get(f"/admin/v1/erasures/{asked['id']}").raise_for_status()
        return dict(found.json())

    eventually(lambda: state()["state"] == "done", "the erasure")
    certificate = state()["certificate"]
    answer = http.post(f"{AUDIT}/verify", json={"certificate": certificate}).json()
    assert answer == {"ok": True, "problems": []}
    files = [path for path in system.state_dir.rglob("*") if path.is_file()]
    assert [path for path in files if NAME.encode() in path.read_bytes()] == []
    assert get(http, "/verify")["problems"] == []
