"""Anchors: every kind keeps what it is given; what fails is behind, and is put later."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from adapters.records.anchoring import Anchoring, NotAnchored, open_anchor
from adapters.records.checkpoints import newest, parse_kept
from adapters.records.files import Layout
from adapters.records.verify import Reference, verify
from tests.fakes.records import begin, fill, running_log


class Hook:
    """A webhook; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                hook.heard.append(self.rfile.read(size))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/anchor"


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Running."""
    made = Hook()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(60)


async def test_each_checkpoint_is_put_once_and_verifies_the_log_from_there(
    tmp_path: Path, hook: Hook
) -> None:
    """A file, a directory as a bucket, a webhook; a second look puts nothing."""
    layout = Layout(tmp_path / "log")
    places = [str(tmp_path / "far/anchor.jsonl"), f"file://{tmp_path}/bucket", hook.url]
    anchorings = [Anchoring(layout, open_anchor(place)) for place in places]
    with running_log(layout.root) as log:
        for anchoring in anchorings:
            anchoring.once()  # there is none yet
        for _ in range(2):
            await fill(log, 2)
            log.sealer.seal()
            for anchoring in [*anchorings, *anchorings]:
                anchoring.once()
    lines = (tmp_path / "far/anchor.jsonl").read_bytes().splitlines()
    objects = [path.read_bytes() for path in sorted((tmp_path / "bucket").iterdir())]
    assert lines == objects == hook.heard
    assert len(lines) == 2
    for text in lines:
        assert verify(layout.root, Reference(parse_kept(text))).problems == []
    assert parse_kept((tmp_path / "far/anchor.jsonl").read_bytes()).document == json.loads(lines[1])


async def test_what_cannot_be_put_is_behind_and_the_newest_is_put_later(
    tmp_path: Path, hook: Hook
) -> None:
    """The log goes on; one put makes up for all that failed."""
    now = [1000.0]
    anchoring = Anchoring(Layout(tmp_path), open_anchor(hook.url), lambda: now[0])
    hook.status = 500
    with running_log(tmp_path) as log:
        for _ in range(3):
            log.add(begin(1))
            await log.flushed()
            log.sealer.seal()
            with pytest.raises(NotAnchored, match="answered 500"):
                anchoring.once()
            now[0] += 60.0
        assert anchoring.behind_s == 180.0
        hook.status = 204
        anchoring.once()
        assert anchoring.behind_s == 0.0
        last = newest(Layout(tmp_path))
        assert last is not None
        assert json.loads(hook.heard[-1]) == last.document
    hook.server.server_close()
    with pytest.raises(NotAnchored):
        anchoring.once()
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(NotAnchored):
        Anchoring(Layout(tmp_path), open_anchor(str(blocked / "below"))).once()


@pytest.mark.parametrize("place", ["http://example.com/x", "ftp://a/b", "https://", "gopher://x"])
def test_what_is_no_anchor_is_refused_at_the_start(place: str) -> None:
    """Nothing goes over the network in clear text."""
    with pytest.raises(ValueError, match=r"audit\.anchor"):
        open_anchor(place)
