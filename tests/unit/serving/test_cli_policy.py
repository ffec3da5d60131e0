"""`graftwork policy` as a person types it: a file alone, and against a running system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serving.cli.main import app
from tests.fakes.whole_system import whole_system

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "config" / "policy-example.yaml"


def run(*arguments: object) -> Result:
    """One command that needs no server."""
    return CliRunner().invoke(app, ["policy", *(str(argument) for argument in arguments)])


def typed(*arguments: object, url: str) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own: the system of the test logs to this one's output."""
    command = [sys.executable, "-c", "from serving.cli import main; main()", "policy"]
    command += [str(argument) for argument in arguments]
    environ = {**os.environ, "GRAFTWORK_URL": url, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_example_is_fine() -> None:
    """And its examples are counted."""
    found = run("test", EXAMPLE)
    assert found.exit_code == 0, found.output
    assert "7 rules" in found.stdout
    assert json.loads(run("test", EXAMPLE, "--json").stdout)["ok"] is True


def test_what_is_wrong_is_told_by_file_line_and_rule(tmp_path: Path) -> None:
    """As compilers do, so that editors understand it."""
    bad = tmp_path / "rules.yaml"
    bad.write_text("rules:\n  - id: a\n    when: tenant < 3\n    deny: x\n")
    found = run("test", bad)
    assert found.exit_code == 1
    assert found.stderr.startswith(f"{bad}:3: error: rule a: ")
    told = json.loads(run("test", bad, "--json").stdout)
    assert told["ok"] is False
    assert told["errors"][0]["line"] == 3


def test_a_file_that_is_not_there_is_another_exit_code(tmp_path: Path) -> None:
    """2: it cannot be read."""
    assert run("test", tmp_path / "none.yaml").exit_code == 2


@pytest.mark.timeout(120)
def test_rules_are_put_tried_compared_and_taken_back(tmp_path: Path) -> None:
    """Each command says what holds now."""
    other = tmp_path / "other.yaml"
    other.write_text("rules: [{id: closed, when: tenant == 'x', deny: Closed.}]\n")
    with whole_system(tmp_path / "state", replicas=1) as system:
        assert typed("show", url=system.url).returncode == 0
        assert typed("rollback", url=system.url).returncode == 1
        pushed = typed("push", EXAMPLE, url=system.url)
        assert pushed.returncode == 0, pushed.stderr
        assert pushed.stdout.startswith("active ")
        assert typed("show", url=system.url).stdout == EXAMPLE.read_text()
        assert "shadow " in typed("push", other, "--shadow", url=system.url).stdout
        assert "+rules: [{id: closed" in typed("diff", url=system.url).stdout
        assert "requests compared" in typed("shadow", url=system.url).stdout
        assert typed("promote", url=system.url).returncode == 0
        assert typed("rollback", url=system.url).returncode == 0
        assert typed("show", url=system.url).stdout == EXAMPLE.read_text()
        lines = typed("history", url=system.url).stdout.splitlines()
        assert [line.split()[1] for line in lines[1:]] == ["rollback", "promote", "shadow", "put"]
        refused = typed("push", tmp_path / "bad.yaml", url=system.url)
        assert refused.returncode == 2
