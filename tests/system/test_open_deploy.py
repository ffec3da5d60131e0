"""Law 11, whoever starts it: what `serve deploy` is given comes up closed, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from serving.bringup.edge import free_port
from tests.system.running import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
# As `serve deploy` does: Ray Serve gets the file as it is, and nothing of ours looks at it first.
_DEPLOY = """
import sys, threading, yaml
from pathlib import Path
from serving.bringup.system import LocalSystem, StartFailed, make_run_directory, prepare_environment
run = make_run_directory()
prepare_environment(run)
from serving.config.deploy import Deploy
from serving.config.settings import Settings
raw = yaml.safe_load(Path(sys.argv[1]).read_text())
system = LocalSystem(Deploy(raw, Settings.model_validate(raw["applications"][0]["args"])))
try:
    system.start()
    system.wait(print, 200, threading.Event())
    print("CAME UP OPEN")
except StartFailed as error:
    print("REFUSED", error)
finally:
    system.stop()
"""


def test_a_deployment_for_others_without_keys_does_not_start(tmp_path: Path) -> None:
    """The router process refuses, and the reason names the remedy."""
    raw = yaml.safe_load((ROOT / "config/local.yaml").read_text(encoding="utf-8"))
    raw["http_options"] |= {"host": "0.0.0.0", "port": free_port()}
    raw["applications"][0]["args"]["state_dir"] = str(tmp_path / "state")
    file = tmp_path / "deploy.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _DEPLOY, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    said = done.stdout + done.stderr
    assert "CAME UP OPEN" not in said
    assert "REFUSED" in said, said
    assert "refuses to serve on 0.0.0.0 without API keys" in said, said
    assert "graftwork keys new" in said
