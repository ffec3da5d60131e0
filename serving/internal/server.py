"""The internal HTTP surface of one process: an ASGI app behind a secret made at start.

Engines, the registry and router peers each have one. Nobody can reach the model around the
governance: every route, metrics included, demands the process's own secret.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import uvicorn

from adapters.aliases import Peer
from router.errors import Unauthenticated

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

KEEPALIVE_S = 120
"""How long an idle connection is kept; clients must give theirs up sooner."""
_UNAUTHORIZED = orjson.dumps(Unauthenticated("This surface is internal.").body())


class RequireSecret:
    """ASGI middleware that lets only requests with the secret through."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._expected = f"Bearer {secret}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        for name, value in scope["headers"]:
            if name == b"authorization" and hmac.compare_digest(value, self._expected):
                await self._app(scope, receive, send)
                return
        await send(
            {
                "type": "http.response.start",
                "status": 401,
                "headers": [(b"content-type", b"application/json")],
            }
        )
        await send({"type": "http.response.body", "body": _UNAUTHORIZED})


class InternalServer:
    """Serves one ASGI app on an ephemeral port of ``host``, in the running event loop."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._secret = secrets.token_urlsafe(32)
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where peers reach it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def secret(self) -> str:
        """The bearer token that it demands."""
        return self._secret

    def peer(self, identity: str) -> Peer:
        """How others address this process."""
        return Peer(id=identity, url=self.url, secret=self._secret)

    async def start(self, app: ASGIApp) -> None:
        """Bind and serve. Raises ``OSError`` when the address cannot be bound."""
        listener = tcp_listener(self._host)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            RequireSecret(app, self._secret),
            lifespan="off",
            access_log=False,
            log_config=None,
            ws="none",
            proxy_headers=False,
            http="httptools",
            timeout_keep_alive=KEEPALIVE_S,
        )
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._server.capture_signals = _no_signals  # type: ignore[method-assign]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise OSError(f"internal server on {self.url} ended at start")
            await asyncio.sleep(0.01)

    def check(self) -> None:
        """For health checks. Raises ``OSError`` when it has ended without being stopped."""
        if self._server is None or self._task is None or self._server.should_exit:
            return
        if self._task.done():
            raise OSError(f"the internal server on {self.url} has ended")

    async def stop(self, grace_s: float = 5.0) -> None:
        """Stop accepting, let requests under way finish for up to ``grace_s``, then cut them."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=grace_s)
        if not done:
            self._server.force_exit = True
            await asyncio.wait({self._task}, timeout=1.0)
            self._task.cancel()


def tcp_listener(host: str) -> socket.socket:
    """A socket bound to a free port of ``host``. Raises ``OSError`` when it cannot be bound.

    It says that it is TCP: asyncio switches Nagle's algorithm off only for sockets that do, and a
    head and a body in two writes would wait 40 ms for the peer's delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.bind((host, 0))
    except OSError:
        listener.close()
        raise
    return listener


def _no_signals() -> Any:
    """uvicorn must not take over the signals of a Ray worker."""
    import contextlib

    return contextlib.nullcontext()
