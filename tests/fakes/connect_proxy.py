"""A CONNECT proxy on loopback; wherever it is asked to go, it goes to one port of this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer

_LONGEST_S = 30.0
_PIECE = 65536


@dataclass
class ConnectProxy:
    """One that runs.

    Attributes:
        url: of its own.
        asked: ``host:port``, once for each connection.
    """

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def connect_proxy(port: int) -> Iterator[ConnectProxy]:
    """While the block runs; all connections lead to ``port``."""

    class Handler(StreamRequestHandler):
        timeout = _LONGEST_S

        def handle(self) -> None:
            proxy.asked.append(self.rfile.readline().decode("latin-1").split()[1])
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_S) as inward:
                back = threading.Thread(target=_pipe, args=(inward, self.connection), daemon=True)
                back.start()
                _pipe(self.connection, inward)
                back.join(_LONGEST_S)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        proxy = ConnectProxy(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, name="connect-proxy", daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    """Until the source says no more."""
    try:
        while data := source.recv(_PIECE):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either end went away, which is how connections end here
