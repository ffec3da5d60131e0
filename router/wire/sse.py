"""Server-sent events: reading them from any split of the bytes, writing them in each dialect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from router.wire.endpoint import Endpoint

DONE = b"data: [DONE]\n\n"


class EventReader:
    """Decodes the JSON data of events as they become complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[dict[str, Any] | None]:
        """The events that ``data`` completes; None stands for ``[DONE]``.

        Raises:
            TypeError, ValueError: an event's data is not a JSON object.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r")
            if text.startswith(b"data:"):
                self._data.append(text[5:].removeprefix(b" "))
            elif not text and self._data:
                whole = b"\n".join(self._data)
                self._data.clear()
                yield _decode(whole)


def _decode(data: bytes) -> dict[str, Any] | None:
    if data.strip() == b"[DONE]":
        return None
    found = orjson.loads(data)
    if not isinstance(found, dict):
        raise TypeError("an event's data is not a JSON object")
    return found


def encode(data: dict[str, Any], event: str | None = None) -> bytes:
    """One event."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def error_event(
    endpoint: Endpoint,
    message: str,
    *,
    code: str,
    kind: str = "server_error",
    sequence: int = 0,
) -> bytes:
    """The last event of a stream that failed, such as the dialect's official SDKs raise.

    Args:
        endpoint: the dialect.
        message: for people.
        code: stable machine-readable code.
        kind: the error's ``type``.
        sequence: the event's number, in Responses.
    """
    if endpoint is Endpoint.MESSAGES:
        error = {"type": kind, "message": message, "code": code}
        return encode({"type": "error", "error": error}, "error")
    if endpoint is Endpoint.RESPONSES:
        flat = {"type": "error", "code": code, "message": message, "param": None}
        return encode({**flat, "sequence_number": sequence}, "error")
    shape = {"message": message, "type": kind, "param": None, "code": code}
    return encode({"error": shape}) + DONE
