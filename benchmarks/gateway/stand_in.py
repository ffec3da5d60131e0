"""A provider without delay: one fixed chat completion for every request, from a bare socket.

A request for a stream gets ``TOKENS`` events of one token each, one write an event and
``GAP_S`` apart: without a gap the kernel would hand several to a gateway in one piece.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any, Final, cast

import httptools
import orjson
import uvloop

MODEL: Final = "large"
ANSWER: Final = "We open at nine."
PROSE: Final = (
    "We open at nine in the morning and close at six, on Saturdays at two. You can bring the "
    "lamp back within thirty days if you still have its receipt with you."
)
"""What a stream says, word by word: checks of answers take longer over what is no prose."""
PIECES: Final = tuple(f"{word} " for word in PROSE.split())
TOKENS: Final = len(PIECES)
GAP_S: Final = 0.002
_WHOLE: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": ANSWER},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
}
_BODY = json.dumps(_WHOLE).encode()
_RESPONSE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    b"content-length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
)
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return b"data: " + json.dumps({**head, "choices": choices, **more}).encode() + b"\n\n"


def _token(delta: dict[str, str], finish: str | None = None) -> bytes:
    return _event([{"index": 0, "delta": delta, "finish_reason": finish}])


_USAGE: Final = {"prompt_tokens": 20, "completion_tokens": TOKENS, "total_tokens": 20 + TOKENS}
_FIRST: Final = _STREAM_HEAD + _chunk(_token({"role": "assistant", "content": PIECES[0]}))
_NEXT: Final = tuple(_chunk(_token({"content": piece})) for piece in PIECES)
_FINISH: Final = _token({}, "stop")
_DONE: Final = b"data: [DONE]\n\n"
_LAST: Final = _chunk(_FINISH + _DONE) + b"0\r\n\r\n"
_LAST_WITH_USAGE: Final = _chunk(_FINISH + _event([], usage=_USAGE) + _DONE) + b"0\r\n\r\n"


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are of no subclass
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        asked = orjson.loads(body) if b'"stream"' in body else {}
        if not asked.get("stream"):
            self._transport.write(_RESPONSE)
            return
        counted = (asked.get("stream_options") or {}).get("include_usage")
        self._stream(TOKENS, _LAST_WITH_USAGE if counted else _LAST)

    def _stream(self, left: int, last: bytes) -> None:
        if self._transport.is_closing():
            return
        if left == 0:
            self._transport.write(last)
            return
        self._transport.write(_FIRST if left == TOKENS else _NEXT[-left])
        asyncio.get_running_loop().call_later(GAP_S, self._stream, left - 1, last)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
