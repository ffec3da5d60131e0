"""The way out of the network: straight, or through a proxy, with other certificates than usual."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

from router.targets.connection import Connection

_MAX_ANSWER: Final = 16 * 1024


class Way(NamedTuple):
    """How a provider is reached; two that are equal share connections."""

    proxy: str | None = None
    """``http://host:port``; it is asked to connect (RFC 9110, 9.3.6) and reads nothing."""
    proxy_credentials: Path | None = None
    """A file with ``user:password``."""
    ca: Path | None = None
    """Certificates to trust, PEM, in place of the machine's."""
    certificate: Path | None = None
    """Of ours, PEM, for servers that ask who calls."""
    key: Path | None = None


STRAIGHT: Final = Way()


def trust(way: Way) -> ssl.SSLContext:
    """Whom to believe, and who we are. Blocks; raises ``OSError`` (``ssl.SSLError``)."""
    context = ssl.create_default_context(cafile=None if way.ca is None else str(way.ca))
    if way.certificate is not None:
        context.load_cert_chain(way.certificate, way.key)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def connect(
    way: Way,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    made: Callable[[], Connection],
) -> Connection:
    """An open connection. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    if way.proxy is None:
        _, connection = await loop.create_connection(made, host, port, ssl=tls)
        return connection
    place = urlsplit(way.proxy)
    asking, tunnel = await loop.create_connection(_Tunnel, place.hostname or "", place.port or 80)
    try:
        asking.write(await asyncio.to_thread(_asked, way, host, port))
        await tunnel.agreed
        connection = made()
        through: asyncio.BaseTransport | None = asking
        if tls is None:
            asking.set_protocol(connection)
        else:
            through = await loop.start_tls(asking, connection, tls, server_hostname=host)
        connection.connection_made(_there(through))
    except BaseException:
        tunnel.agreed.cancel()
        asking.abort()
        raise
    return connection


def _there(transport: asyncio.BaseTransport | None) -> asyncio.BaseTransport:
    if transport is None:  # it went away while TLS was agreed on
        raise ConnectionResetError("the proxy closed the connection")
    return transport


def _asked(way: Way, host: str, port: int) -> bytes:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if way.proxy_credentials is not None:
        said = way.proxy_credentials.read_text(encoding="utf-8").strip()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(said.encode()).decode()}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _Tunnel(asyncio.Protocol):
    """Waits until the proxy says that it is connected."""

    def __init__(self) -> None:
        self.agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._said = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no subclass

    def data_received(self, data: bytes) -> None:
        self._said += data
        head, ends, rest = bytes(self._said).partition(b"\r\n\r\n")
        if not ends:
            if len(self._said) > _MAX_ANSWER:
                self._fail("it answered too much")
            return
        status = head.split(b" ", 2)
        if len(status) < 2 or status[1] != b"200":
            said = status[1].decode("latin-1") if len(status) > 1 else "nothing"
            self._fail(f"it answered {said[:16]}")
        elif rest:
            self._fail("it said more than it was asked")
        elif not self.agreed.done():
            # What the target says first is for who takes over.
            self.agreed.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        self._fail("it closed the connection")

    def _fail(self, why: str) -> None:
        if not self.agreed.done():
            self.agreed.set_exception(ConnectionRefusedError(f"the proxy does not connect: {why}"))
