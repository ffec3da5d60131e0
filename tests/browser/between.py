"""What stands before the server: passes requests on, or says for it that it is away."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

EVENTS = b"GET /console/events "
_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n"
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available.\n</body></html>\n"
)
"""As HAProxy says it."""
_WITHIN_S = 60.0


class Between(socketserver.ThreadingTCPServer):
    """One request a connection; what happens is told on even while the server is away."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = port
        self.is_away = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Passing(socketserver.BaseRequestHandler):
    server: Between

    def handle(self) -> None:
        self.request.settimeout(_WITHIN_S)
        with suppress(OSError):
            said = bytearray()
            while b"\r\n\r\n" not in said:
                piece = self.request.recv(65536)
                if not piece:
                    return
                said += piece
            if self.server.is_away and not said.startswith(EVENTS):
                self.request.sendall(_AWAY)
            else:
                self._pass(bytes(said))

    def _pass(self, said: bytes) -> None:
        line, _, rest = said.partition(b"\r\n")
        with socket.create_connection(("127.0.0.1", self.server.behind), _WITHIN_S) as server:
            server.sendall(line + b"\r\nconnection: close\r\n" + _without_keeping(rest))
            threading.Thread(target=_copy, args=(self.request, server), daemon=True).start()
            _copy(server, self.request)


def _without_keeping(rest: bytes) -> bytes:
    head, end, body = rest.partition(b"\r\n\r\n")
    lines = [each for each in head.split(b"\r\n") if not each.lower().startswith(b"connection:")]
    return b"\r\n".join(lines) + end + body


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)


@contextmanager
def standing_before(port: int) -> Iterator[Between]:
    """Runs until the block ends."""
    with Between(port) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()
