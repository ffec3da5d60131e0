"""One `graftwork serve` for one state directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.bringup.tenancy import Occupied, held, home, require_free
from serving.cli.main import app

REPO = Path(__file__).resolve().parents[3]


def test_a_second_one_is_told_who_the_first_is(tmp_path: Path) -> None:
    """And may begin once the first has ended."""
    state = tmp_path / "deep" / "state"
    require_free(state)
    assert not state.exists()
    with held(state):
        with pytest.raises(Occupied, match=f"process {os.getpid()}, .*--state-dir"), held(state):
            pass
        with pytest.raises(Occupied):
            require_free(state)
    require_free(state)
    with held(state):
        pass


def test_two_need_nothing_but_two_ports(tmp_path: Path) -> None:
    """The second has a directory of its port's own, unless somebody named the first one."""
    first, second = tmp_path / "state", tmp_path / "state-8001"
    with home(first, 8000, named=False) as place:
        assert place == first
        with home(first, 8001, named=False) as other:
            assert other == second
            with pytest.raises(Occupied, match="state-8001"), home(first, 8001, named=False):
                pass
        with pytest.raises(Occupied, match="--state-dir"), home(first, 8001, named=True):
            pass
    with home(first, 8001, named=False) as place:
        assert place == first


def test_it_is_let_go_when_the_process_is_killed(tmp_path: Path) -> None:
    """Also by kill -9; what it started does not hold it on."""
    script = (
        "import os, signal, subprocess, sys\n"
        "from pathlib import Path\n"
        "from serving.bringup.tenancy import held\n"
        "with held(Path(sys.argv[1])):\n"
        "    subprocess.Popen(['sleep', '5'], close_fds=False)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, timeout=60, check=False)
    assert done.returncode == -9
    require_free(tmp_path)


def test_nothing_is_restored_under_a_running_system(tmp_path: Path) -> None:
    """Not even with --force: what runs would write over it."""
    file = tmp_path / "deploy.yaml"
    file.write_text("applications: [{name: graftwork, args: {}}]")
    state = tmp_path / "state"
    with held(state):
        result = CliRunner().invoke(
            app,
            ["restore", str(tmp_path / "b.tar"), "--force", "--config", str(file), "--state-dir",
             str(state)],
        )  # fmt: skip
    assert result.exit_code == 1
    assert "stop it" in result.stderr
