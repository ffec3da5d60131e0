"""Without Kubernetes: the systemd unit and the Compose file."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.config.limits import LimitsConfig
from serving.config.starting import Answers, deploy_file
from tests.fakes.deploying import deploy

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "config/systemd/graftwork.service"
COMPOSE = ROOT / "config/compose/compose.yaml"
DEPLOY = ROOT / "config/compose/graftwork.yaml"


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    """As INI; keys keep their case."""
    found = configparser.ConfigParser(interpolation=None, strict=False)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read_string(UNIT.read_text())
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Of the Compose file."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def _analyze(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    # What is named has to be there, and runs as somebody who is.
    text = UNIT.read_text().replace("/opt/graftwork/.venv/bin/graftwork", sys.executable)
    path = tmp_path / "graftwork.service"
    path.write_text(text.replace("=graftwork\n", "=root\n"))
    return subprocess.run(
        [program, *arguments, str(path)], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Without a word: an unknown key or a wrong value would be one."""
    verified = _analyze(tmp_path, "verify", "--man=no")
    said = [line for line in verified.stderr.splitlines() if "graftwork.service" in line]
    assert not said
    assert "Unknown" not in verified.stderr


def test_the_unit_is_confined(tmp_path: Path) -> None:
    """As systemd rates it: 10 is everything, 0 nothing that it can."""
    rated = _analyze(tmp_path, "security", "--offline=true", "--no-pager", "--threshold=45")
    if "not supported" in rated.stderr or "unrecognized option" in rated.stderr:
        pytest.skip("this systemd-analyze does not rate files")
    assert rated.returncode == 0, rated.stdout[-2000:] + rated.stderr


def test_a_stop_waits_for_the_longest_request(unit: configparser.ConfigParser) -> None:
    """And for the drain after it; then whatever is left is killed."""
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) > LimitsConfig().request_timeout_s
    assert service["KillMode"] == "mixed"
    assert service["ExecStart"].split()[1:3] == ["serve", "--config"]


def test_the_doctor_looks_where_the_service_will_be(unit: configparser.ConfigParser) -> None:
    """The state is in systemd's directory, whatever the file says: `/` cannot be written."""
    service = unit["Service"]
    asked, served = service["ExecStartPre"].split()[2:], service["ExecStart"].split()[2:]
    assert asked == [*served, "--no-calls"]
    assert served[served.index("--state-dir") + 1] == f"/var/lib/{service['StateDirectory']}"


def test_a_file_that_init_wrote_drains_within_the_stop(unit: configparser.ConfigParser) -> None:
    """Requests that may take ten minutes are not cut after ten seconds, and systemd waits."""
    written = deploy.check(yaml.safe_load(deploy_file(Answers())), "init")
    for drain_s, stop_s in (
        (written.drain_s, float(unit["Service"]["TimeoutStopSec"])),
        (deploy.load(DEPLOY).drain_s, float(_seconds(COMPOSE))),
    ):
        assert LimitsConfig().request_timeout_s < drain_s < stop_s


def _seconds(compose: Path) -> str:
    found = yaml.safe_load(compose.read_text())["services"]["graftwork"]["stop_grace_period"]
    return str(found).removesuffix("s")


def test_the_composed_deploy_file_is_valid() -> None:
    """As `graftwork check` sees it; its state is where the volume is, its tables in PostgreSQL."""
    found = deploy.load(DEPLOY)
    assert str(found.settings.state_dir) == "/var/lib/graftwork"
    url = found.settings.adapters_here().database_url or ""
    assert url == "postgresql+psycopg://graftwork@postgres/graftwork"
    assert not found.is_local


def test_the_container_is_confined(services: dict[str, Any]) -> None:
    """Published on loopback, nothing writable but what has to be, no capability."""
    ours = services["graftwork"]
    assert all(str(port).startswith("127.0.0.1:") for port in ours["ports"])
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in ours["security_opt"]
    places = [each for each in ours["volumes"] if isinstance(each, str)]
    assert {each.partition(":")[2] for each in places} == {
        "/var/lib/graftwork",
        "/var/cache/graftwork",
    }
    assert ours["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert "healthcheck" in services["postgres"]


def test_no_password_stands_in_a_file(services: dict[str, Any]) -> None:
    """Secrets are files of the host's; the variables name them."""
    whole = yaml.safe_load(COMPOSE.read_text())
    assert {"POSTGRES_PASSWORD_FILE"} == {
        name for name in services["postgres"]["environment"] if "PASSWORD" in name
    }
    for service in services.values():
        assert set(service["secrets"]) <= whole["secrets"].keys()
    for secret in whole["secrets"].values():
        assert (COMPOSE.parent / secret["file"]).resolve().parent == ROOT / "secrets"
    assert "secrets/" in (ROOT / ".gitignore").read_text()


def test_who_follows_the_comment_has_a_password_that_libpq_reads() -> None:
    """It ignores a file that others than its owner may read; the owner is the image's user."""
    [user] = re.findall(r"^USER (\d+):\d+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[:1]
    comment = COMPOSE.read_text().partition("\nname:")[0]
    assert "chmod 600 secrets/" in comment
    assert f"chown {user}:" in comment


def test_the_containers_logs_are_on_a_volume() -> None:
    """On standard error they would be in files of Ray's below /tmp, which is memory there."""
    log = deploy.load(DEPLOY).settings.log
    assert (log.destination, log.directory) == ("file", None)


def test_what_compose_names_is_there(services: dict[str, Any]) -> None:
    """Bind mounts and volumes; the command is one of ours."""
    ours, whole = services["graftwork"], yaml.safe_load(COMPOSE.read_text())
    [bound] = [each for each in ours["volumes"] if isinstance(each, dict)]
    assert (COMPOSE.parent / bound["source"]).resolve() == DEPLOY
    assert bound["target"] == ours["command"][2]
    assert ours["command"][0] == "serve"
    named = [each.partition(":")[0] for each in ours["volumes"] if isinstance(each, str)]
    named += [each.partition(":")[0] for each in services["postgres"]["volumes"]]
    assert set(named) == whole["volumes"].keys()
