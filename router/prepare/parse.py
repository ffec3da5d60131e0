"""From bytes to a request: JSON, the fields that the router reads, the client's wishes, its needs.

What it needs of a target is counted once. Tokens are estimated as the UTF-8 bytes of all text over
four, the rule of thumb that OpenAI gives for English ("one token generally corresponds to ~4
characters"); counting bytes instead of characters makes scripts with more tokens per character
weigh more. The engines' own count is exact and comes with the answer; the choice therefore keeps a
margin (``choose.candidates.CONTEXT_MARGIN``).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from router.config.limits import LimitsConfig
from router.config.virtual import VirtualModel
from router.errors import InvalidRequest, TooLarge
from router.policy.instruct import instructed
from router.prepare.cleaning import cleaned
from router.prepare.parameters import BOUNDS, with_parameters
from router.prepare.shape import check_shape
from router.request import AUTO, Hints, Needs, Request, changed
from router.wire.characters import normalised
from router.wire.endpoint import Endpoint
from router.wire.formats.base import asks_for_logprobs
from router.wire.kinds import Kind
from router.wire.names import names
from router.wire.nulls import without_nulls
from router.wire.texts import Survey, TooDeep, TooMany, survey

EXTENSION = "graftwork"
_LIMITS = LimitsConfig()
_LARGE_BYTES = 256 * 1024
_MAX_MODEL_LENGTH = 256
_ESCAPED = (b"\\u", b"\\b", b"\\f", b"\x7f")
"""All that JSON in ASCII can say such a character with."""
_MAX_TEXT_CHARS = 4000
_TURNS_KEPT = 3
_HINT_FIELDS = frozenset(
    {
        "max_cost_usd",
        "session",
        "subject",
        "timeout_ms",
        "intent",
        "fallback",
        "fallbacks",
        "no_capture",
        "context",
        "truncation",
        "facts",
    }
)
_MAX_COLLECTIONS = 32
_MAX_TARGETS = 16
_MAX_FACTS = 64
_MAX_FACT_CHARS = 1000
_MAX_FACT_NUMBER = 2**63
_PROMPTS = {Endpoint.COMPLETIONS: "prompt", Endpoint.EMBEDDINGS: "input"}
BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 4
"""Role and separators around a message in common chat templates."""
IMAGE_TOKENS = 1024
"""A picture of medium size; what vendors count is between 85 and some thousands."""
STORED = ("previous_response_id", "conversation")
"""Fields that name what whoever answers has kept of earlier requests."""
_NOT_READ = frozenset({Kind.OTHER, Kind.IDENTITY, Kind.TOKEN, Kind.DEFINITION})
"""Kinds of text that a prompt does not have; definitions are counted as they are written out."""
Named = tuple[str, VirtualModel | None]


def parse(
    request: Request,
    raw: bytes,
    limits: LimitsConfig = _LIMITS,
    named: Callable[[str], Named] = lambda model: (model, None),
) -> Request:
    """The request with body, model, stream, hints, needs and text.

    ``named``: what a model's name is counted under, and the virtual model that it stands for, whose
    defaults apply.

    Raises ``InvalidRequest``, and ``TooLarge`` when it has more values than are looked at.
    """
    body = _decode(raw)
    extension = body.pop(EXTENSION, None)
    model = _model(body)
    route, means = named(model)
    if request.endpoint is Endpoint.EMBEDDINGS:
        means = None
    if means is not None:
        body = with_parameters(request.endpoint, body, means)
    _check_choices(request.endpoint, body, limits)
    found = _survey(body, limits.max_body_values)
    removed: tuple[str, ...] = ()
    if may_hide(raw):
        body, found, removed = cleaned(body, found)
    turns = found.user_turns()
    parsed = changed(
        request,
        body=body,
        body_bytes=len(raw),
        model=model,
        route=route,
        stream=_stream(body),
        hints=_hints(request.headers, extension, body),
        needs=read_needs(body, found),
        removed=removed,
        text=_spelled(turns[-1][-_MAX_TEXT_CHARS:]) if turns else "",
        turns=tuple(map(_spelled, turns[-_TURNS_KEPT:])),
        texts=tuple(found.texts),
        names=names(body),
    )
    check_shape(request.endpoint, body)
    return parsed if means is None or not means.system else instructed(parsed, [means.system])


def _spelled(text: str) -> str:
    """As whoever recognises something in it reads it."""
    return text if text.isascii() else normalised(text).text


def may_hide(raw: bytes) -> bool:
    """Whether JSON may hold characters that hide something; most bodies say at once that not."""
    return not raw.isascii() or any(each in raw for each in _ESCAPED)


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
        raise InvalidRequest(
            f"'model' must be a string of 1 to {_MAX_MODEL_LENGTH} characters.", param="model"
        )
    return model


def _stream(body: dict[str, Any]) -> bool:
    stream = body.get("stream", False)
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("'stream' must be true or false.", param="stream")
    return bool(stream)


def _hints(headers: Mapping[str, str], extension: Any, body: Mapping[str, Any]) -> Hints:
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
        raise InvalidRequest(
            "'session' must be a string of at most 256 characters.", param=f"{EXTENSION}.session"
        )
    intent = headers.get("x-graftwork-intent", extension.get("intent"))
    if intent is not None and (not isinstance(intent, str) or not 0 < len(intent) <= 256):
        raise InvalidRequest(
            "'intent' must be a string of 1 to 256 characters.", param=f"{EXTENSION}.intent"
        )
    subject = extension.get("subject")
    if subject is not None and (not isinstance(subject, str) or not 0 < len(subject) <= 1024):
        raise InvalidRequest(
            "'subject' must be a string of 1 to 1024 characters.", param=f"{EXTENSION}.subject"
        )
    return Hints(
        subject=subject,
        max_cost_usd=_number(
            headers.get("x-graftwork-max-cost-usd", extension.get("max_cost_usd")),
            "max_cost_usd",
            is_zero_one=True,
        ),
        session=session,
        timeout_s=timeout_ms / 1000 if timeout_ms else None,
        intent=intent,
        fallback=_flag(headers.get("x-graftwork-fallback"), extension.get("fallback"), "fallback"),
        no_capture=_flag(
            headers.get("x-graftwork-no-capture"), extension.get("no_capture"), "no_capture"
        ),
        fallbacks=_targets(headers.get("x-graftwork-fallbacks", extension.get("fallbacks"))),
        context=_collections(headers.get("x-graftwork-context", extension.get("context"))),
        trim=_trims(extension.get("truncation")) or body.get("truncation") == "auto",
        facts=_facts(extension.get("facts")),
    )


def _facts(value: Any) -> dict[str, Any]:
    """What the client says for rules: a few names, each with a value or a short list of them."""
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _MAX_FACTS:
        raise InvalidRequest(
            f"'facts' must be an object of at most {_MAX_FACTS} names.", param=f"{EXTENSION}.facts"
        )
    for name, each in value.items():
        values = each if isinstance(each, list) else [each]
        if len(values) > _MAX_FACTS or not all(map(_is_fact, values)):
            raise InvalidRequest(
                f"The fact {name[:64]!r} must be a text of at most {_MAX_FACT_CHARS} characters, a "
                f"number, true, false, or a list of at most {_MAX_FACTS} of them.",
                param=f"{EXTENSION}.facts",
            )
    return value


def _is_fact(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_FACT_CHARS
    return isinstance(value, float | bool | None) or (
        isinstance(value, int) and abs(value) < _MAX_FACT_NUMBER
    )


def _collections(value: Any) -> tuple[str, ...] | None:
    """Names between commas, or a list of them; ``none`` for no collection."""
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(
            "'context' must be names of collections.", param=f"{EXTENSION}.context"
        )
    found = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if len(found) > _MAX_COLLECTIONS or any(len(name) > _MAX_MODEL_LENGTH for name in found):
        raise InvalidRequest(
            f"'context' may name {_MAX_COLLECTIONS} collections.", param=f"{EXTENSION}.context"
        )
    return found


def _targets(value: Any) -> tuple[str, ...]:
    """Names between commas, or a list of them."""
    if value is None:
        return ()
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if (
        not isinstance(names, list)
        or len(names) > _MAX_TARGETS
        or not all(isinstance(name, str) and 0 < len(name) <= _MAX_MODEL_LENGTH for name in names)
    ):
        raise InvalidRequest(
            f"'fallbacks' must be a list of at most {_MAX_TARGETS} models' names.",
            param=f"{EXTENSION}.fallbacks",
        )
    return tuple(dict.fromkeys(names))


def _trims(truncation: Any) -> bool:
    """As in the Responses API: ``auto`` lets the oldest turns go, ``disabled`` does not."""
    if truncation not in (None, "auto", "disabled"):
        raise InvalidRequest(
            "'truncation' must be 'auto' or 'disabled'.", param=f"{EXTENSION}.truncation"
        )
    return bool(truncation == "auto")


def _flag(header: str | None, value: Any, name: str) -> bool:
    """The header's word, which is text, else the extension's, which is JSON."""
    if header is not None:
        value = {"true": True, "false": False}.get(header.strip().lower())
    elif value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"'{name}' must be true or false.", param=f"{EXTENSION}.{name}")
    return value


def _number(value: Any, name: str, *, is_zero_one: bool = False) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    fits = 0 < number < float("inf") or (is_zero_one and number == 0)
    if isinstance(value, bool) or not fits:
        least = "of at least" if is_zero_one else "above"
        raise InvalidRequest(f"'{name}' must be a number {least} 0.", param=f"{EXTENSION}.{name}")
    return number


def _check_choices(endpoint: Endpoint, body: dict[str, Any], limits: LimitsConfig) -> None:
    """Raises ``InvalidRequest`` when a body asks for more than ``limits`` allow.

    What is of a wrong type is for the target to refuse: it says so in its own words.
    """
    each = max(_count(body, name, limits.max_choices) for name in ("n", "best_of"))
    name = _PROMPTS.get(endpoint)
    if name is None:
        return
    prompts = _prompts(body.get(name))
    if endpoint is Endpoint.EMBEDDINGS:
        if prompts > limits.max_inputs:
            raise _too_many(name, f"{prompts} texts", limits.max_inputs, "max_inputs")
    elif prompts * each > limits.max_choices:
        asked = f"{prompts} prompts with {each} answers each"
        raise _too_many(name, asked, limits.max_choices, "max_choices")


def _count(body: dict[str, Any], name: str, most: int) -> int:
    value = body.get(name)
    if type(value) is not int:
        return 1
    if value > most:
        raise _too_many(name, f"{value} answers", most, "max_choices")
    return max(value, 1)


def _prompts(value: Any) -> int:
    """A list is many prompts, unless it is one prompt as token ids."""
    if type(value) is not list or not value or type(value[0]) is int:
        return 1
    return len(value)


def _too_many(param: str, asked: str, most: int, setting: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param!r} asks for {asked}; at most {most} are given at once (limits.{setting}).",
        code="too_many_choices",
        param=param,
    )


def read_needs(body: dict[str, Any], found: Survey) -> Needs:
    """Estimate and look at a body of any shape.

    Args:
        body: the request.
        found: what its texts are.
    """
    size = sum(_bytes(text.text) for text in found.texts if text.kind not in _NOT_READ)
    for name in ("tools", "functions"):
        if body.get(name):
            size += len(orjson.dumps(body[name]))
    tokens = found.messages * MESSAGE_TOKENS + found.images * IMAGE_TOKENS + found.token_ids
    return Needs(
        input_tokens=math.ceil(size / BYTES_PER_TOKEN) + tokens,
        max_output_tokens=_bound(body),
        features=frozenset(_features(body, pictures=found.images > 0)),
        images=found.images,
        inline_bytes=found.inline_bytes,
        parts=frozenset(found.parts),
    )


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _bound(body: dict[str, Any]) -> int | None:
    for name in BOUNDS:
        value = body.get(name)
        if type(value) is int and value > 0:
            return value
    return None


def _features(body: dict[str, Any], *, pictures: bool) -> list[str]:
    found = []
    if body.get("tools") or body.get("functions"):
        found.append("tools")
    if _wants_schema(body):
        found.append("json_schema")
    if pictures:
        found.append("vision")
    if asks_for_logprobs(body):
        found.append("logprobs")
    if any(body.get(name) is not None for name in STORED):
        found.append("stored")
    return found


def _wants_schema(body: dict[str, Any]) -> bool:
    form = body.get("response_format")
    text = body.get("text")
    if form is None and isinstance(text, dict):  # the responses API
        form = text.get("format")
    return isinstance(form, dict) and form.get("type") in ("json_schema", "json_object")
