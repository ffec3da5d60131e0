"""HAProxy starts with what Ray Serve wrote, tightened: nothing open to others, errors in JSON."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving.bringup import edge

# As Ray Serve 2.60 writes it, shortened.
CONFIG = """\
global
    stats socket {socket} mode 666 level admin expose-fd listeners
    maxconn 20000
defaults
    mode http
    timeout client 90s
    errorfile 502 /somewhere/502.http
    errorfile 504 /somewhere/504.http
frontend prometheus
    bind :9101
    mode http
frontend stats
    bind *:8404
    stats enable
frontend http_frontend
    bind 127.0.0.1:8000
    bind 10.0.0.7:8443
backend app
    server one 127.0.0.1:30001 check
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What Ray Serve's processes get, with a fake HAProxy that tells how it was started."""
    found = edge.haproxy_environment(tmp_path)
    binary = tmp_path / "haproxy"
    binary.write_text(
        '#!/bin/sh\nfor each in "$@"; do echo "[$each]"; done\necho "pid $$"\nexit 7\n'
    )
    binary.chmod(0o755)
    return {**os.environ, **found, "GRAFTWORK_HAPROXY": str(binary)}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file of Ray Serve."""
    path = tmp_path / "haproxy.cfg"
    path.write_text(CONFIG)
    return path


def start(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Start HAProxy as Ray Serve does."""
    script = environment["RAY_SERVE_HAPROXY_BINARY_PATH"]
    return subprocess.run(
        [script, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_sockets_are_closed_to_others(environment: dict[str, str], config: Path) -> None:
    """Statistics and metrics listen on loopback; what names an address keeps it (law 11)."""
    start(environment, "-f", config)
    binds = [line.split()[1] for line in config.read_text().splitlines() if " bind " in line]
    assert binds == ["127.0.0.1:9101", "127.0.0.1:8404", "127.0.0.1:8000", "10.0.0.7:8443"]
    assert "mode 600 level admin expose-fd listeners" in config.read_text()


def test_errors_are_json(environment: dict[str, str], config: Path) -> None:
    """Every error file that is named exists and is a whole HTTP response in OpenAI's shape."""
    start(environment, "-f", config)
    lines = [line.split() for line in config.read_text().splitlines() if "errorfile" in line]
    files = {status: Path(path) for _, status, path in lines}
    assert sorted(files) == ["400", "408", "500", "502", "504"]
    for file in files.values():
        head, _, body = file.read_bytes().partition(b"\r\n\r\n")
        error = json.loads(body)["error"]
        assert {"message", "type", "param", "code"} == set(error)
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"Content-Type: application/json" in head
        assert head.startswith(f"HTTP/1.1 {file.stem} ".encode())


def test_a_second_start_changes_nothing(environment: dict[str, str], config: Path) -> None:
    """Ray Serve reloads HAProxy with the same file: doing it twice is doing it once."""
    start(environment, "-f", config)
    once = config.read_text()
    start(environment, "-f", config, "-sf", "1234")
    assert config.read_text() == once


def test_the_rest_is_left_alone(environment: dict[str, str], config: Path) -> None:
    """Only the lines that matter are touched."""
    start(environment, "-f", config)
    after = config.read_text()
    for line in CONFIG.splitlines():
        if not any(word in line for word in ("bind", "errorfile", "stats socket")):
            assert line in after


def test_the_binary_takes_over(environment: dict[str, str], config: Path) -> None:
    """The binary gets the very arguments, in the script's own process, and its end is the end."""
    arguments = ("-db", "-f", str(config), "-x", "a path with spaces", "-sf", "12 13")
    script = environment["RAY_SERVE_HAPROXY_BINARY_PATH"]
    with subprocess.Popen(
        [script, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        output, _ = process.communicate(timeout=60)
    *given, pid = output.splitlines()
    assert given == [f"[{argument}]" for argument in arguments]
    assert pid == f"pid {process.pid}"
    assert process.returncode == 7


@pytest.mark.parametrize("arguments", [("-v",), ("-f", "/absent.cfg"), ()])
def test_without_a_configuration(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """Without a file to tighten, the binary is started all the same."""
    done = start(environment, *arguments)
    assert done.returncode == 7
    assert done.stderr == ""


def test_ports() -> None:
    """A port that somebody listens on is not free; one that was found free is."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert not edge.port_is_free("127.0.0.1", listener.getsockname()[1])
    assert edge.port_is_free("127.0.0.1", edge.free_port())


def test_socket_paths_are_short(tmp_path: Path) -> None:
    """Ray adds 57 characters to the socket's path, and a Unix socket's path ends at 107."""
    from serving.bringup.system import make_run_directory

    run_dir = make_run_directory()
    try:
        path = edge.haproxy_environment(run_dir)["RAY_SERVE_HAPROXY_SOCKET_PATH"]
        assert len(path) + 57 < 107
        assert run_dir.stat().st_mode & 0o077 == 0
    finally:
        for each in sorted(run_dir.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()
        run_dir.rmdir()


def test_two_systems_on_one_machine_share_no_port(tmp_path: Path) -> None:
    """On Ray's fixed port for its fallback proxy, one system would answer for the other."""
    found = edge.haproxy_environment(tmp_path)
    ports = {name: value for name, value in found.items() if name.endswith("_PORT")}
    assert len({*ports.values()}) == len(ports) == 4
    assert not {*ports.values()} & {"8500", "9500", "9101", "8404"}
    # The names are Ray's: after an upgrade they may be others.
    shown = "from ray.serve._private import constants as c; print({n: getattr(c, n) for n in %r})"
    names = [name for name in ports if "FALLBACK" in name]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", shown % names],
        env={**os.environ, **found},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ast.literal_eval(done.stdout) == {name: int(ports[name]) for name in names}
