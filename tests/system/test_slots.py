"""The slots of the batch, as Graftwork shows them, are the ones that vLLM's worker has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.running import ROOT

pytestmark = pytest.mark.system


@pytest.mark.timeout(600)
def test_the_mirror_is_true_and_pins_hold(tmp_path: Path) -> None:
    """On real vLLM, in a process of its own; see ``slots_on_vllm``.

    However adapters come, between the engine's steps or beside them, they answer alike.
    """
    between, beside = (_answers(tmp_path / how, how) for how in ("between", "beside"))
    assert between == beside
    assert len({tuple(scores) for scores in between}) == len(between)


def _answers(root: Path, how: str) -> list[list[float]]:
    root.mkdir()
    script = [sys.executable, "-m", "tests.system.slots_on_vllm", str(root), how]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
    }
    done = subprocess.run(
        script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert "slots agree" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("[[")]
    found: list[list[float]] = json.loads(lines[-1])
    return found
