"""The two journeys, as they are traced, are the journeys that the documents tell."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.walk.documents import listed, path_of, steps
from tests.walk.tracer import ROOT

JOURNEYS = ("request-path", "adapter-path")
REMEDY = "run `make walk ARGS=--write`"


@pytest.fixture(scope="module")
def walks() -> dict[str, Any]:
    """Both, traced in a process of their own: what this one has cached would not be visited."""
    command = [sys.executable, "-m", "tests.walk", "--json"]
    environment = {"PYTHONPATH": str(ROOT)}
    printed = subprocess.check_output(command, cwd=ROOT, env=environment, timeout=60)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", JOURNEYS)
def test_the_document_lists_what_is_touched(walks: dict[str, Any], name: str) -> None:
    """Every file, and no other."""
    assert sorted(listed(path_of(name).read_text())) == sorted(walks[name]["files"]), REMEDY


@pytest.mark.parametrize("name", JOURNEYS)
def test_the_steps_come_in_the_order_in_which_they_are_told(
    walks: dict[str, Any], name: str
) -> None:
    """The file that a step begins with is visited after those of the steps before it."""
    visited = walks[name]["files"]
    told = [path for path in steps(path_of(name).read_text()) if path in visited]
    assert len(told) > 5
    assert told == sorted(told, key=visited.index)
