"""From bytes to a request: JSON, the fields that the router itself reads, the client's wishes."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from router.admit import choices
from router.choose.needs import read_needs
from router.config.limits import LimitsConfig
from router.errors import InvalidRequest, TooLarge
from router.request import AUTO, Hints, Request
from router.wire.nulls import without_nulls
from router.wire.texts import Survey, TooDeep, TooMany, survey

EXTENSION = "graftwork"
_LIMITS = LimitsConfig()
_LARGE_BYTES = 256 * 1024
_MAX_MODEL_LENGTH = 256
_MAX_TEXT_CHARS = 4000
_TURNS_KEPT = 3
_HINT_FIELDS = frozenset({"max_cost_usd", "session", "timeout_ms", "intent", "fallback"})


def parse(request: Request, raw: bytes, limits: LimitsConfig = _LIMITS) -> Request:
    """The request with body, model, stream, hints, needs and text.

    Raises ``InvalidRequest``, and ``TooLarge`` when it has more values than are looked at.
    """
    body = _decode(raw)
    extension = body.pop(EXTENSION, None)
    choices.check(request.endpoint, body, limits)
    found = _survey(body, limits.max_body_values)
    turns = found.user_turns()
    return replace(
        request,
        body=body,
        body_bytes=len(raw),
        model=_model(body),
        stream=_stream(body),
        hints=_hints(request.headers, extension),
        needs=read_needs(body, found),
        text=turns[-1][-_MAX_TEXT_CHARS:] if turns else "",
        turns=tuple(turns[-_TURNS_KEPT:]),
    )


def _survey(body: dict[str, Any], max_values: int) -> Survey:
    try:
        return survey(body, max_values=max_values)
    except TooDeep as error:
        raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from error
    except TooMany as error:
        raise TooLarge(
            f"The body has more than {max_values} values (limits.max_body_values); send fewer "
            "messages, parts or fields at once."
        ) from error


def _decode(raw: bytes) -> dict[str, Any]:
    try:
        body = _loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid JSON: {error}.", code="invalid_json"
        ) from error
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json")
    return without_nulls(body) if b"null" in raw else body


def _loads(raw: bytes) -> Any:
    """Without collecting garbage in a large one: that takes four times as long as reading it."""
    if len(raw) < _LARGE_BYTES or not gc.isenabled():
        return orjson.loads(raw)
    gc.disable()
    try:
        return orjson.loads(raw)
    finally:
        gc.enable()


def _model(body: dict[str, Any]) -> str:
    model = body.get("model", AUTO)
    if not isinstance(model, str) or not 0 < len(model) <= _MAX_MODEL_LENGTH:
        raise InvalidRequest("'model' must be a non-empty string.", param="model")
    return model


def _stream(body: dict[str, Any]) -> bool:
    stream = body.get("stream", False)
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("'stream' must be true or false.", param="stream")
    return bool(stream)


def _hints(headers: Mapping[str, str], extension: Any) -> Hints:
    if extension is None:
        extension = {}
    if not isinstance(extension, dict):
        raise InvalidRequest(f"'{EXTENSION}' must be an object.", param=EXTENSION)
    unknown = sorted(extension.keys() - _HINT_FIELDS)
    if unknown:
        raise InvalidRequest(
            f"'{EXTENSION}' has unknown fields {unknown}; known: {sorted(_HINT_FIELDS)}.",
            param=EXTENSION,
        )
    timeout_ms = _number(
        headers.get("x-graftwork-timeout-ms", extension.get("timeout_ms")), "timeout_ms"
    )
    session = headers.get("x-graftwork-session", extension.get("session"))
    if session is not None and (not isinstance(session, str) or len(session) > _MAX_MODEL_LENGTH):
        raise InvalidRequest("'session' must be a short string.", param=f"{EXTENSION}.session")
    intent = headers.get("x-graftwork-intent", extension.get("intent"))
    if intent is not None and (not isinstance(intent, str) or not 0 < len(intent) <= 256):
        raise InvalidRequest("'intent' must be a short string.", param=f"{EXTENSION}.intent")
    return Hints(
        max_cost_usd=_number(
            headers.get("x-graftwork-max-cost-usd", extension.get("max_cost_usd")), "max_cost_usd"
        ),
        session=session,
        timeout_s=timeout_ms / 1000 if timeout_ms else None,
        intent=intent,
        fallback=_flag(headers.get("x-graftwork-fallback"), extension.get("fallback"), "fallback"),
    )


def _flag(header: str | None, value: Any, name: str) -> bool:
    """The header's word, which is text, else the extension's, which is JSON."""
    if header is not None:
        value = {"true": True, "false": False}.get(header.strip().lower())
    elif value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"'{name}' must be true or false.", param=f"{EXTENSION}.{name}")
    return value


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if isinstance(value, bool) or not 0 < number < float("inf"):
        raise InvalidRequest(f"'{name}' must be a number above 0.", param=f"{EXTENSION}.{name}")
    return number
