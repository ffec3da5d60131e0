"""A frontier's stand-in: an HTTP server on loopback that speaks OpenAI's dialect and answers well.

It knows the demo's messages by heart, which is what makes it cheap to run, and is wrong about two
kinds of them, always in the same way, as models are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from serving.demo.desk import QUESTION, Message, without_canary

NAME: Final = "cloud"
MODEL: Final = "expert"
INPUT_USD_PER_MTOK: Final = 3.0
OUTPUT_USD_PER_MTOK: Final = 15.0
_UNKNOWN: Final = "I cannot tell which desk this is for."
_CHARS_PER_TOKEN: Final = 4
_MAX_BODY: Final = 1 << 20


class Teacher:
    """What is known, and how often it was asked."""

    def __init__(self, known: Iterable[Message]) -> None:
        self._known = {message.text: message.taught for message in known}
        self._lock = threading.Lock()
        self.asked = 0

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat completion."""
        with self._lock:
            self.asked += 1
        said = "\n".join(_text(each) for each in body["messages"])
        question = _text(body["messages"][-1]).removeprefix(QUESTION)
        text = self._known.get(without_canary(question), _UNKNOWN)
        tokens = {"prompt_tokens": _tokens(said), "completion_tokens": _tokens(text)}
        return {
            "id": f"chatcmpl-{self.asked}",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
            ],
            "usage": {**tokens, "total_tokens": sum(tokens.values())},
        }


@contextmanager
def serving(teacher: Teacher) -> Iterator[str]:
    """Its base URL, while it answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_POST(self) -> None:
            try:
                length = min(int(self.headers.get("content-length", 0)), _MAX_BODY)
                answer = json.dumps(teacher.answer(json.loads(self.rfile.read(length)))).encode()
                self.send_response(200)
            except (ValueError, KeyError, IndexError, TypeError):
                answer = b'{"error": {"message": "not a chat", "type": "invalid_request_error"}}'
                self.send_response(400)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing: the story is told elsewhere."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="teacher", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])


def _tokens(text: str) -> int:
    return max(1, len(text) // _CHARS_PER_TOKEN)
