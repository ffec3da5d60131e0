"""A bucket that speaks enough of S3's wire protocol: put, get, head, delete, list with pages.

Every request must be signed (version 4); the signature itself is not computed again.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

BUCKET = "adapters"
PAGE = 3
"""Keys in one page of a listing; small, so that tests see several."""
_WHEN = "2026-01-02T03:04:05.000Z"
_WHEN_HTTP = "Fri, 02 Jan 2026 03:04:05 GMT"


@dataclass
class FakeS3:
    """Objects by key, and what was asked of them."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """What a deployment sets to reach it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_REGION": "us-east-1",
        }


class _Server(ThreadingHTTPServer):
    bucket: FakeS3


@contextmanager
def fake_s3() -> Iterator[FakeS3]:
    """The bucket, on a free port of loopback."""
    bucket = FakeS3()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.bucket = bucket
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


def _etag(content: bytes) -> str:
    return '"' + hashlib.md5(content, usedforsecurity=False).hexdigest() + '"'


def _listing(bucket: FakeS3, query: dict[str, list[str]]) -> bytes:
    prefix = query.get("prefix", [""])[0]
    after = query.get("continuation-token", [""])[0]
    keys = [key for key in sorted(bucket.objects) if key.startswith(prefix) and key > after]
    page, more = keys[:PAGE], len(keys) > PAGE
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>{_WHEN}</LastModified>"
        f"<ETag>{escape(_etag(bucket.objects[key]))}</ETag>"
        f"<Size>{len(bucket.objects[key])}</Size></Contents>"
        for key in page
    )
    token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    return (
        f"<ListBucketResult><Name>{BUCKET}</Name><KeyCount>{len(page)}</KeyCount>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
    ).encode()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def _key(self) -> str | None:
        """The object's key; None, and an answer, when the request may not be served."""
        parts = urlsplit(self.path)
        self.server.bucket.requests.append(f"{self.command} {unquote(parts.path)}")
        signed = self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 ")
        if not signed or not parts.path.startswith(f"/{BUCKET}"):
            self._answer(403)
            return None
        return unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")

    def _answer(self, status: int, content: bytes = b"", etag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if etag:
            self.send_header("ETag", etag)
            self.send_header("Last-Modified", _WHEN_HTTP)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        key = self._key()
        if key is not None:
            self.server.bucket.objects[key] = content
            self._answer(200, etag=_etag(content))

    def do_GET(self) -> None:
        key = self._key()
        if key == "":
            self._answer(200, _listing(self.server.bucket, parse_qs(urlsplit(self.path).query)))
        elif key is not None and key in self.server.bucket.objects:
            self._answer(
                200, self.server.bucket.objects[key], _etag(self.server.bucket.objects[key])
            )
        elif key is not None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self._key() == "" and urlsplit(self.path).query.startswith("delete"):
            keys = [unescape(key) for key in re.findall("<Key>(.*?)</Key>", asked)]
            for key in keys:
                self.server.bucket.objects.pop(key, None)
            gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
            self._answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""
