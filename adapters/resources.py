"""What one row of the admin plane's table is, and what every list of it has in common.

A new resource is one file with its handlers and its rows, and one line in the table that it joins:
`adapters/admin/table.py`, or `router/admin/table.py` for what the router itself knows.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

MAX_LIMIT = 1000
_DEFAULT_LIMIT = 100
_MAX_CURSOR = 1000
_FIRST_S = -62_135_596_800.0
_LAST_S = 253_402_300_799.0
"""The years 1 to 9999: others have no ISO 8601 time to be told by."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_SECONDS = re.compile(r"[+-]?[0-9.]{1,40}(e[+-]?[0-9]{1,3})?", re.ASCII | re.IGNORECASE)
_MAX_BODY_BYTES = 64 * 1024

P = TypeVar("P")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
H = TypeVar("H", bound=Callable[..., Any])


class Resource(NamedTuple, Generic[P]):
    """One thing that can be asked: ``P`` is what its handler needs."""

    scope: str
    """Which scope of a key it takes; ``admin`` may do all of the admin plane."""
    method: str
    path: str
    handler: Callable[[P, Request], Awaitable[Response]]
    """Its docstring's first line is the summary in the reference."""


class BadField(ValueError):
    """A part of the request makes no sense.

    Attributes:
        param: which part.
        code: stable machine-readable code.
        status: HTTP status.
        more: what the answer has beside the error itself.
    """

    def __init__(
        self,
        message: str,
        param: str | None,
        *,
        code: str = "invalid_value",
        status: int = 400,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status
        self.more = dict(more or {})


# Lists


@dataclass(frozen=True)
class Page:
    """Which part of a list is wanted."""

    limit: int = _DEFAULT_LIMIT
    after: str = ""
    """Key of the last row of the page before; empty for the first page."""


def page_of(query: Mapping[str, str]) -> Page:
    """Read ``limit`` and ``cursor``. Raises ``BadField``."""
    text = query.get("limit", str(_DEFAULT_LIMIT))
    if not _NUMBER.fullmatch(text) or not 0 < int(text) <= MAX_LIMIT:
        raise BadField(f"'limit' must be 1 to {MAX_LIMIT}.", "limit")
    cursor = query.get("cursor", "")[:_MAX_CURSOR]
    try:
        after = base64.b64decode(cursor.encode("ascii"), b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise BadField("'cursor' must be the 'next' of an earlier answer.", "cursor") from error
    return Page(int(text), after)


def cursor_of(key: str) -> str:
    """What ``next`` says when the last row shown has this key."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def listed(
    page: Page,
    rows: Iterable[T],
    key: Callable[[T], str],
    show: Callable[[T], Any],
    **more: Any,
) -> dict[str, Any]:
    """One page of rows that are all in memory, in the order of their keys, which are distinct."""
    left = sorted((each for each in rows if key(each) > page.after), key=key)
    shown = left[: page.limit]
    goes_on = len(left) > len(shown)
    return {
        "object": "list",
        "data": [show(each) for each in shown],
        "next": cursor_of(key(shown[-1])) if goes_on else None,
        **more,
    }


# Parameters and bodies


def moment(text: str, param: str = "since") -> float:
    """Seconds since the epoch of such a number or an ISO 8601 time. Raises ``BadField``.

    A time between the years 1 and 9999.
    """
    try:
        seconds = float(text if _SECONDS.fullmatch(text) else "none")
    except ValueError:
        seconds = _iso(text, param)
    if not _FIRST_S <= seconds < _LAST_S:
        raise BadField(f"{param!r} is not a time.", param)
    return seconds


def _iso(text: str, param: str) -> float:
    if "T" in text:  # a zone's plus sign that was not escaped in a URL arrives as a space
        text = text.replace(" ", "+")
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadField(
            f"{param!r} must be an ISO 8601 time or seconds since the epoch.", param
        ) from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


async def body_of(request: Request, model: type[M]) -> M:
    """A small JSON body, checked; an empty one is ``{}``. Raises ``BadField``."""
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > _MAX_BODY_BYTES:
            raise BadField(
                f"The body is larger than {_MAX_BODY_BYTES} bytes.",
                None,
                code="request_too_large",
                status=413,
            )
    return parsed(bytes(raw) or b"{}", model)


def parsed(raw: bytes, model: type[M], whole: str = "") -> M:
    """A JSON text as what it means. Raises ``BadField``; ``whole`` is what all of it is called.

    A number is a number: no truth, no text of digits, and none that only some readers know (NaN,
    infinities, what is too large for a double).
    """
    try:
        found = model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise bad_field(error, whole) from error
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadField(f"{whole or 'the body'} is no JSON: {error}.", None) from error
    return found


def bad_field(error: ValidationError, whole: str = "") -> BadField:
    """What a client is told of a body that does not fit; ``whole`` is what all of it is called."""
    param, what = first_problem(error)
    return BadField(f"{param or whole}: {what}" if param or whole else what, param)


def first_problem(error: ValidationError) -> tuple[str | None, str]:
    """The field, and what is wrong with it, without the library's words around our own."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in problem["loc"]) or None
    return field, str(problem["msg"]).removeprefix("Value error, ")


# Reference


class ErrorDetail(BaseModel):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """Every error, but for Messages, whose errors have Anthropic's shape."""

    error: ErrorDetail


@dataclass(frozen=True)
class Described:
    """What the reference shows of a handler beside its docstring."""

    query: Mapping[str, str] = field(default_factory=dict)
    """Query parameters, each with what it means."""
    body: type[BaseModel] | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    """Bodies that are not JSON, by media type, as OpenAPI has them."""
    answers: Mapping[int, type[BaseModel] | str] = field(default_factory=dict)


_ATTRIBUTE = "described"


def describes(**what: Any) -> Callable[[H], H]:
    """Give a handler its ``Described``."""

    def mark(handler: H) -> H:
        setattr(handler, _ATTRIBUTE, Described(**what))
        return handler

    return mark


def description(handler: Callable[..., Any]) -> Described:
    """What ``describes`` said; nothing, where it was not used."""
    found = getattr(handler, _ATTRIBUTE, None)
    return found if isinstance(found, Described) else Described()


def refuse_unknown(query: Mapping[str, str], handler: Callable[..., Any]) -> None:
    """For what changes something: a misspelt parameter must not be done without.

    Raises ``BadField``.
    """
    known = description(handler).query
    for name in query:
        if name not in known:
            raise BadField(
                f"There is no parameter {name[:64]!r} here; known: {', '.join(known) or 'none'}.",
                name[:64],
            )
