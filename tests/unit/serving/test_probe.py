"""The Pods' health probes, against a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from serving.bringup import probe


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """A server that is well at one path only."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_part_must_be_well(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is not makes the Pod unready, and is named."""
    urls = {"a": f"{url}/well", "b": f"{url}/ill"}
    assert probe.main(["a"], urls) == 0
    assert probe.main(["a", "b"], urls) == 1
    assert "/ill" in capsys.readouterr().err


def test_nobody_there_is_not_well() -> None:
    """A refused connection is a failed probe, not a crash."""
    assert probe.main(["a"], {"a": "http://127.0.0.1:9/"}) == 1


def test_an_unknown_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error in a manifest does not pass for health."""
    assert probe.main(["servee"]) == 2
    assert probe.main([]) == 2
    assert "raylet, gcs, serve" in capsys.readouterr().err
