"""An HTTP server that says exactly the bytes it is told to, when it is told to.

For what a well-behaved server library would never send: cuts between two bytes, missing ends.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PAUSE = 0.02
"""Seconds that separate two pieces enough to arrive as two reads."""


@dataclass(frozen=True)
class Reset:
    """Send a TCP reset instead of the next piece."""


@dataclass(frozen=True)
class Hang:
    """Send nothing more until the client leaves."""


Piece = bytes | float | Reset | Hang


@dataclass
class Wire:
    """A running server.

    Attributes:
        url: its base URL.
        heads: the head of each request that came, as text.
        bodies: the body of each request.
        connections: how many connections were opened.
        ended: how many of them have ended, from either side.
        left: set when a client closed its connection while the server was hanging.
    """

    url: str
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def wire(*answers: Sequence[Piece], tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Serve on loopback; request ``n`` gets ``answers[n]``, and the last answer repeats."""
    running = Wire("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.connections += 1
        try:
            while await _read_request(running, reader):
                script = answers[min(len(running.heads), len(answers)) - 1]
                if not await _say(script, running, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            running.left.set()
        finally:
            running.ended += 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    running.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield running
    finally:
        server.close()


async def _read_request(running: Wire, reader: asyncio.StreamReader) -> bool:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return False
    length = next(
        (
            int(line.split(":")[1])
            for line in head.lower().split("\r\n")
            if "content-length" in line
        ),
        0,
    )
    running.bodies.append(await reader.readexactly(length))
    running.heads.append(head)
    return True


async def _say(
    script: Sequence[Piece],
    running: Wire,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    for piece in script:
        if isinstance(piece, Reset):
            writer.transport.abort()
            return False
        if isinstance(piece, Hang):
            await reader.read(1)
            running.left.set()
            return False
        if isinstance(piece, float):
            await asyncio.sleep(piece)
        else:
            writer.write(piece)
            await writer.drain()
    return b"close" not in b"".join(p for p in script if isinstance(p, bytes))[:400]


def head(status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    """A response head; underscores in header names become dashes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def body(content: bytes, status: int = 200, **headers: str) -> bytes:
    """A whole JSON response."""
    return head(status, Content_Length=str(len(content)), **headers) + content


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def events(*pieces: bytes, end: bool = True) -> list[Piece]:
    """A chunked event stream, one piece per write."""
    script: list[Piece] = [head(content_type="text/event-stream", Transfer_Encoding="chunked")]
    for piece in pieces:
        script += [chunk(piece), PAUSE]
    if end:
        script.append(chunk(b""))
    return script
