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
from collections.abc import Callable
from typing import Any

import orjson

from router.config.limits import LimitsConfig
from router.config.virtual import VirtualModel
from router.errors import InvalidRequest, TooLarge
from router.policy.instruct import instructed
from router.prepare.cleaning import cleaned
from router.prepare.hints import EXTENSION, read_hints
from router.prepare.parameters import BOUNDS, with_parameters
from router.prepare.shape import check_shape
from router.request import AUTO, Needs, Request, changed
from router.wire.characters import normalised
from router.wire.endpoint import Endpoint
from router.wire.formats.base import asks_for_logprobs
from router.wire.kinds import Kind
from router.wire.names import names
from router.wire.nulls import without_nulls
from router.wire.texts import Survey, TooDeep, TooMany, survey

_LIMITS = LimitsConfig()
_LARGE_BYTES = 256 * 1024
_MAX_MODEL_LENGTH = 256
_ESCAPED = (b"\\u", b"\\b", b"\\f", b"\x7f")
"""All that JSON in ASCII can say such a character with."""
_MAX_TEXT_CHARS = 4000
_TURNS_KEPT = 3
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
        if _stream(body):
            del body["stream"]  # there is none: the answer is whole, whatever is asked for
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
        hints=read_hints(request.headers, extension, body),
        needs=read_needs(body, found),
        removed=removed,
        text=_spelled(turns[-1][-_MAX_TEXT_CHARS:]) if turns else "",
        turns=tuple(map(_spelled, turns[-_TURNS_KEPT:])),
        texts=tuple(found.texts),
        surveyed={} if found.token_ids else body,
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
