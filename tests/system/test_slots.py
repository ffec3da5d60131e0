"""The slots of the batch, as Graftwork shows them, are the ones that vLLM's worker has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.running import ROOT

pytestmark = pytest.mark.system


@pytest.mark.timeout(300)
def test_the_mirror_is_true_and_pins_hold(tmp_path: Path) -> None:
    """On real vLLM, in a process of its own; see ``slots_on_vllm``."""
    script = [sys.executable, "-m", "tests.system.slots_on_vllm", str(tmp_path)]
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
