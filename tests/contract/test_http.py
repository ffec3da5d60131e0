"""HTTP as clients in the field speak it: old, compressed, upgrading, misspelt, from a browser."""

from __future__ import annotations

import gzip
import socket
import zlib
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.contract.client import BODIES, HELLO, error_of
from tests.fakes.whole_system import System


def raw(system: System, request: bytes, until: bytes = b"") -> bytes:
    """Bytes over a plain socket, and what comes back until the server closes, or ``until``."""
    parts = urlsplit(system.url)
    assert parts.hostname
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(request)
        found = b""
        while (piece := connection.recv(65536)) != b"":
            found += piece
            if until and until in found:
                break
    return found


def head(line: str, body: bytes = b"", **headers: str) -> bytes:
    """A request of the application's."""
    fields = {"host": "127.0.0.1", "authorization": "Bearer key-app", **headers}
    if body:
        fields["content-length"] = str(len(body))
    shown = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([line, *shown, "", ""]).encode() + body


def test_a_websocket_is_offered_for_responses(keyed: System) -> None:
    """Refused at once with 426 and JSON, so that the client goes on over HTTP."""
    offer = head(
        "GET /v1/responses HTTP/1.1",
        connection="Upgrade",
        upgrade="websocket",
        sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==",
        sec_websocket_version="13",
    )
    found = raw(keyed, offer, until=b"}")
    assert found.startswith(b"HTTP/1.1 426"), found
    assert orjson.loads(found.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_of_http_1_0(keyed: System, stream: bool) -> None:
    """No chunk sizes in its text; the connection's end is the answer's."""
    body = orjson.dumps({"model": "tiny", "messages": HELLO, "stream": stream})
    found = raw(keyed, head("POST /v1/chat/completions HTTP/1.0", body))
    top, _, text = found.partition(b"\r\n\r\n")
    assert b" 200 " in top.splitlines()[0]
    assert b"transfer-encoding" not in top.lower()
    if stream:
        assert all(not line or line.startswith((b"data:", b":")) for line in text.splitlines())
    else:
        assert orjson.loads(text)["choices"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", BODIES)
def test_a_compressed_body(app: httpx.Client, path: str, coding: str) -> None:
    """Accepted."""
    plain = orjson.dumps({**BODIES[path], "model": "tiny"})
    packed = gzip.compress(plain) if coding == "gzip" else zlib.compress(plain)
    headers = {"content-encoding": coding, "content-type": "application/json"}
    answer = app.post(path, content=packed, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_compressed_body_that_grows_without_end(app: httpx.Client) -> None:
    """Refused by what it unpacks to."""
    bomb = gzip.compress(b" " * 200_000_000, 1)
    answer = app.post("/v1/chat/completions", content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413, answer.text


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br", "rot13"])
def test_a_body_that_is_not_what_its_coding_says(app: httpx.Client, coding: str) -> None:
    """400 or 415, in JSON."""
    answer = app.post(
        "/v1/chat/completions",
        content=orjson.dumps({"model": "tiny", "messages": HELLO}),
        headers={"content-encoding": coding},
    )
    assert answer.status_code in {400, 415}, answer.text
    assert error_of(answer)


def test_tokens_are_counted_before_a_conversation_is_compacted(app: httpx.Client) -> None:
    """``/v1/messages/count_tokens`` for local models."""
    answer = app.post("/v1/messages/count_tokens", json={"model": "tiny", "messages": HELLO})
    assert answer.status_code == 200, answer.text
    assert answer.json()["input_tokens"] > 0


@pytest.mark.parametrize(
    "path", ["/v1/v1/chat/completions", "//v1/chat/completions", "/v1/chat/completions/"]
)
def test_wrong_spellings_of_a_path(keyed: System, path: str) -> None:
    """Answered, or told the right one."""
    answer = httpx.post(
        keyed.url + path,
        json={"model": "tiny", "messages": HELLO},
        headers={"x-api-key": "key-app"},
    )
    if answer.status_code != 200:
        assert answer.status_code in {307, 308, 404}
        told = answer.headers.get("location", "") + answer.text
        assert "/v1/chat/completions" in told.replace(path, "")


def test_a_browser_chat_asks_first(keyless: System) -> None:
    """``OPTIONS`` from the server's own origin is answered; from elsewhere it is refused."""
    asked = {"access-control-request-method": "POST"}
    for origin, allowed in ((keyless.url, True), ("https://evil.example", False)):
        answer = httpx.options(
            f"{keyless.url}/v1/chat/completions", headers={"origin": origin, **asked}
        )
        assert answer.is_success is allowed, (origin, answer.status_code)
