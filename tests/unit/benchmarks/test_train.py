"""The benchmark of training runs on a shape that any machine holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.frontier import FakeFrontier

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(240)
def test_a_shape_is_trained_and_streams_beside_it_are_timed() -> None:
    """One row: size, speed, seconds for 1,000 examples, gaps quiet and beside the training."""
    with FakeFrontier(api_key="sk-test") as server:
        command = [
            sys.executable, "-m", "benchmarks.train", "tiny", "--steps", "3", "--examples", "40",
            "--threads", "1", "--streams", "2", "--key", "sk-test", "--model", "any",
            "--beside", server.url.removesuffix("/v1"),
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=220, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    row = done.stdout.splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["tiny", "0 M", "cpu"]
    assert float(cells[4].replace(",", "")) > 0
    assert float(cells[5].replace(",", "")) > 0
    assert all("/" in cell for cell in cells[6:8]), row
