"""A grammar or schema that nothing can satisfy is the client's mistake, and is answered as one.

vLLM refuses what it cannot parse with 400. A grammar that is well formed and never ends (a rule
that only refers to itself, a JSON schema that does) it accepts; the first token that it generates
is rejected, and vLLM says 500, as if the engine were at fault. Then a router counts a failure
against the engine, and everybody's requests suffer for one client's grammar.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

from router.errors import InvalidRequest
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS

_STREAM = b"text/event-stream"
_MESSAGE = (
    "No answer can satisfy the grammar, regular expression or JSON schema of this request: "
    "is there a rule or definition that refers only to itself?"
)


def refusing_endless_grammars(
    generate: Callable[..., Any], mistake: Callable[[str], Exception]
) -> Callable[..., Any]:
    """``generate`` of an engine client, which raises where a request's own grammar failed.

    Args:
        generate: the client's method; requests without a grammar pass through untouched.
        mistake: the error that vLLM answers with 400.
    """

    def answering(prompt: Any, sampling_params: Any, *args: Any, **options: Any) -> Any:
        outputs = generate(prompt, sampling_params, *args, **options)
        if getattr(sampling_params, "structured_outputs", None) is None:
            return outputs
        return _watched(outputs, mistake)

    return answering


async def _watched(outputs: Any, mistake: Callable[[str], Exception]) -> AsyncIterator[Any]:
    async with aclosing(outputs):
        async for output in outputs:
            if any(each.finish_reason == "error" for each in output.outputs):
                _noticed.get([]).append(_MESSAGE)
                raise mistake(_MESSAGE)
            yield output


def ending_streams(app: Any) -> Any:
    """vLLM's application, whose Responses streams say what the client did wrong before they end.

    They simply stop when a request turns out to be wrong after their first event: nobody could tell
    that from an engine that died. Other streams of vLLM say it themselves.
    """

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != Endpoint.RESPONSES:
            await app(scope, receive, send)
            return
        stream = _Stream(send)
        _noticed.set(stream.mistakes)
        try:
            await app(scope, receive, stream.send)
        except Exception:
            if not stream.is_broken_off:
                raise
        if stream.is_broken_off:
            await stream.send({"type": "http.response.body"})

    return answering


_noticed: ContextVar[list[str]] = ContextVar("mistakes of the request that is answered here")


class _Stream:
    """One response on its way; its last message says what was noticed meanwhile."""

    def __init__(self, send: Callable[[Any], Awaitable[None]]) -> None:
        self.mistakes: list[str] = []
        self._send = send
        self._is_open = False

    @property
    def is_broken_off(self) -> bool:
        """Whether a stream was begun, failed by the client's fault and has not ended."""
        return self._is_open and bool(self.mistakes)

    async def send(self, message: Any) -> None:
        """Pass on what vLLM sends."""
        if message["type"] == "http.response.start":
            self._is_open = any(value.startswith(_STREAM) for _, value in message["headers"])
        elif not message.get("more_body", False):
            if self.is_broken_off:
                wire, mistake = FORMATS[Endpoint.RESPONSES], InvalidRequest(self.mistakes[0])
                message = {**message, "body": message.get("body", b"") + wire.error_events(mistake)}
            self._is_open = False
        await self._send(message)
