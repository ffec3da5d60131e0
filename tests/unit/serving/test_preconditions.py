"""Before anything starts: each thing that is missing is one line with its remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.deploying import deploy, preconditions

REPO = Path(__file__).resolve().parents[3]
LOCAL = REPO / "config" / "local.yaml"
ARGS = "applications.0.args"
PLENTY = "MemTotal:  64000000 kB\nMemFree:  100 kB\nMemAvailable:  48000000 kB\n"


@pytest.fixture(autouse=True)
def _enough_memory(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What else runs on this machine must not decide these tests."""
    if request.function is not test_too_little_memory:
        monkeypatch.setattr(preconditions, "_CPU_ENGINE_MIB", 0)


@pytest.fixture
def taken() -> Iterator[int]:
    """A loopback port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.fixture
def free() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refusal(port: int, environ: dict[str, str] | None = None, **fields: Any) -> str:
    """What stops a start with the local file and these fields of ``args``."""
    overrides = {f"{ARGS}.{name.replace('__', '.')}": value for name, value in fields.items()}
    loaded = deploy.load(LOCAL, {"http_options.port": port, **overrides})
    with pytest.raises(preconditions.CannotServe) as refused:
        preconditions.check(loaded, environ or {})
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_nothing_is_missing(free: int) -> None:
    """The local file can be served where its port is free."""
    preconditions.check(deploy.load(LOCAL, {"http_options.port": free}), {})


def test_taken_port(taken: int) -> None:
    """The port and a way out are named."""
    message = refusal(taken)
    assert f"port {taken} on 127.0.0.1 is taken" in message
    assert "--port" in message


def test_missing_model_directory(free: int, tmp_path: Path) -> None:
    """A path that can only be a directory is looked for, not downloaded."""
    message = refusal(free, base__model=str(tmp_path / "absent"))
    assert str(tmp_path / "absent") in message
    assert "--model" in message


def test_a_directory_that_holds_no_model(free: int, tmp_path: Path) -> None:
    """A directory without config.json is no model."""
    assert "config.json" in refusal(free, base__model=str(tmp_path))


def test_a_hugging_face_id_is_left_to_the_engine(free: int) -> None:
    """An id is no path: it is the engine that gets it."""
    overrides = {"http_options.port": free, f"{ARGS}.base.model": "org/model"}
    preconditions.check(deploy.load(LOCAL, overrides), {})


@pytest.mark.parametrize("environ", [{}, {"FRONTIER_KEY": ""}, {"FRONTIER_KEY": "two\nlines"}])
def test_missing_provider_key(free: int, environ: dict[str, str]) -> None:
    """A provider whose key is absent or unusable is named with its variable; no key is shown."""
    provider = {
        "name": "frontier",
        "base_url": "https://example.org/v1",
        "api_key_env": "FRONTIER_KEY",
        "models": [{"id": "big", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2}],
    }
    message = refusal(free, environ, router__providers=[provider])
    assert "provider frontier" in message
    assert "FRONTIER_KEY" in message
    assert "lines" not in message


@pytest.mark.parametrize(
    ("meminfo", "mib"),
    [
        (PLENTY, 46875),
        ("MemTotal: 1 kB\nMemAvailable:    2048 kB\n", 2),
        ("MemTotal: 1 kB\n", None),
        ("", None),
    ],
)
def test_available_memory(tmp_path: Path, meminfo: str, mib: int | None) -> None:
    """What is available counts, not what is free; kernels that do not tell are believed."""
    file = tmp_path / "meminfo"
    file.write_text(meminfo)
    assert preconditions.available_memory_mib(file) == mib
    assert preconditions.available_memory_mib(tmp_path / "absent") is None


def test_too_little_memory(tmp_path: Path) -> None:
    """Too little memory is told in numbers, with what to do."""
    file = tmp_path / "meminfo"
    file.write_text("MemAvailable: 1048576 kB\n")
    with pytest.raises(preconditions.CannotServe, match=r"1024 MiB of memory .* close something"):
        preconditions._check_memory(file)
    file.write_text(PLENTY)
    preconditions._check_memory(file)


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`graftwork serve`, as a person would start it."""
    return subprocess.run(
        [sys.executable, "-c", "from serving.cli import main; main()", "serve", *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
    )


def test_serve_says_one_line(taken: int, free: int, tmp_path: Path) -> None:
    """`graftwork serve` exits with 1 and one line, and leaves nothing behind."""
    absent = str(tmp_path / "absent")
    for arguments, said in (
        (("--port", str(taken)), f"port {taken} on 127.0.0.1 is taken"),
        (("--port", str(free), "--model", absent), absent),
    ):
        done = serve(*arguments, "--state-dir", str(tmp_path / "state"))
        assert done.returncode == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("graftwork: ")
        assert said in line
    assert not (tmp_path / "state").exists()


def test_serve_explains_a_bad_file(tmp_path: Path) -> None:
    """Problems of the deploy file are listed, one line each, before anything starts."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(LOCAL.read_text().replace("max_loras: 4", "max_loras: four"))
    done = serve("--config", str(bad))
    assert done.returncode == 1
    first, last = done.stderr.splitlines()
    assert f"{ARGS}.engine.max_loras" in first
    assert last == f"graftwork: {bad} has 1 problem(s), listed above"


def test_serve_prepares_before_ray_is_imported(tmp_path: Path) -> None:
    """Ray reads its environment when it is imported, so that must be set before."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from serving.bringup.system import prepare_environment\n"
        f"prepare_environment(Path({str(tmp_path)!r}))\n"
        "assert 'ray' not in sys.modules\n"
        "assert os.environ['RAY_SERVE_ENABLE_HA_PROXY'] == '1'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPO, check=True, timeout=100)


def test_a_state_directory_that_cannot_be_made(free: int, tmp_path: Path) -> None:
    """Before Ray is started, and not by a registry that never comes up."""
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "state"):
        assert "--state-dir" in refusal(free, state_dir=str(place))
    preconditions.check(
        deploy.load(LOCAL, {"http_options.port": free, f"{ARGS}.state_dir": str(tmp_path / "a/b")}),
        {},
    )
