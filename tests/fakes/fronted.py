"""The real HAProxy as Ray Serve configures it, tightened as in production, before some server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from serving.bringup import edge

# As Ray Serve 2.60 writes it, shortened.
CONFIG = """\
global
    stats socket {run}/admin.sock mode 666 level admin expose-fd listeners
    maxconn 2000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 8s
    timeout http-keep-alive 90s
    option abortonclose
    option splice-request
    option splice-response
    retry-on conn-failure
    option http-no-delay
    option idle-close-on-response
    errorfile 502 {run}/500.http
    errorfile 503 {run}/500.http
    errorfile 504 {run}/500.http
frontend http_frontend
    bind 127.0.0.1:{port}
    default_backend app
backend app
    http-reuse always
    server one {server}
"""


@asynccontextmanager
async def fronted(run: Path, server: str, headers_s: int = 2) -> AsyncIterator[str]:
    """HAProxy before a server; its URL. Headers have ``headers_s`` seconds to arrive."""
    run.mkdir(exist_ok=True)  # noqa: ASYNC240
    environment = {**edge.haproxy_environment(run), "PATH": "/usr/bin:/bin"}
    defaults = run / "errors" / "defaults.cfg"
    slow = f"timeout http-request {edge.HEADERS_WITHIN_S}s"
    assert slow in defaults.read_text()
    defaults.write_text(defaults.read_text().replace(slow, f"timeout http-request {headers_s}s"))
    config, port = run / "haproxy.cfg", edge.free_port()
    (run / "500.http").write_bytes((run / "errors" / "500.http").read_bytes())
    config.write_text(CONFIG.format(run=run, port=port, server=server.removeprefix("http://")))
    script = environment["RAY_SERVE_HAPROXY_BINARY_PATH"]
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts in milliseconds
        [script, "-f", str(config), "-db"], env=environment, stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        async with asyncio.timeout(60):
            while edge.port_is_free("127.0.0.1", port):
                assert process.poll() is None, config.read_text()
                await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
