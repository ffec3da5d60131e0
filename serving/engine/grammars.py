"""A grammar or schema that nothing can satisfy is the client's mistake, and is answered as one.

vLLM refuses what it cannot parse with 400. A grammar that is well formed and never ends (a rule
that only refers to itself, a JSON schema that does) it accepts; the first token that it generates
is rejected, and vLLM says 500, as if the engine were at fault. Then a router counts a failure
against the engine, and everybody's requests suffer for one client's grammar.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from router.errors import InvalidRequest
from router.wire.endpoint import Endpoint
from router.wire.formats import format_of

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
                raise mistake(_MESSAGE)
            yield output


def ending_streams(app: Any, mistakes: type[Exception]) -> Any:
    """vLLM's application, whose streams say what the client did wrong before they end.

    vLLM's Responses simply stop when a request turns out to be wrong after its first event: nobody
    could tell that from an engine that died.

    Args:
        app: the ASGI application.
        mistakes: the errors that are the client's.
    """

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        is_stream = False

        async def watching(message: Any) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                is_stream = any(value.startswith(_STREAM) for _, value in message["headers"])
            await send(message)

        try:
            await app(scope, receive, watching)
        except Exception as error:
            mistake = _cause(error, mistakes)
            if mistake is None or not is_stream:
                raise
            wire = format_of(Endpoint(scope["path"]))
            last = wire.error_events(InvalidRequest(str(mistake)))
            await send({"type": "http.response.body", "body": last})

    return answering


def _cause(error: BaseException | None, wanted: type[Exception]) -> Exception | None:
    """The error of this kind that another one came from, through groups too."""
    while error is not None:
        if isinstance(error, wanted):
            return error
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__
    return None
