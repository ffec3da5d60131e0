"""Reading an upstream's error, whatever shape it has, and saying what the caller may do."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from router.errors import Failure, TargetRejected, TargetUnavailable

CONTEXT_OVERFLOW = "context_length_exceeded"
"""The code of every prompt that does not fit, whatever the upstream calls it."""
REFUSALS = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "moderation_blocked",
        "responsible_ai_policy_violation",
    }
)
"""Codes of a refusal by the provider's policy: final, never routed around (law 5)."""
ACCOUNT_IS_EMPTY = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of a 429 that no patience helps against."""
OUR_KEY = frozenset(
    {
        "ACCESS_TOKEN_EXPIRED",
        "API_KEY_EXPIRED",
        "API_KEY_INVALID",
        "BILLING_DISABLED",
        "FAILED_PRECONDITION",
        "SERVICE_DISABLED",
    }
)
"""Google's reasons and statuses that find fault with our account, whatever the HTTP status."""
MAX_RETRY_AFTER_S = 24 * 3600.0
_MAX_TEXT = 500
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,63}")
_BODY = "body."
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
# vLLM names the field; Anthropic and older servers give no code for this at all, so their words
# have to do. The pattern decides whether a larger window may be tried, and nothing else.
_OVERFLOW_PARAMS = frozenset({"input_tokens", "input_text"})
_OVERFLOW_WORDS = re.compile(
    r"(?:prompt|input) is too long|maximum (?:context|model) length"
    r"|exceeds? (?:the )?(?:model'?s )?context|context (?:window|length) (?:is )?exceeded"
    r"|input token count .{0,40}exceeds the maximum",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class UpstreamError:
    """An error body, understood as far as it can be.

    Attributes:
        message: what it says; never empty.
        type: its type, in the upstream's words.
        code: a string code, or None.
        param: the field at fault, or None.
        payload: the decoded body, or None when it is not JSON.
        reasons: what kind of error it is, in Google's words.
        wait_s: when to come back, where the body says so, seconds.
    """

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    payload: Any = None
    reasons: frozenset[str] = frozenset()
    wait_s: float | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is about our key or account, and not about the request."""
        return not self.reasons.isdisjoint(OUR_KEY)

    @property
    def is_overflow(self) -> bool:
        """Whether the prompt was too long for this model's window."""
        return (
            self.code == CONTEXT_OVERFLOW
            or self.param in _OVERFLOW_PARAMS
            or _OVERFLOW_WORDS.search(self.message) is not None
        )

    @property
    def is_refusal(self) -> bool:
        """Whether the provider's policy refused the content, whatever the status."""
        if self.code in REFUSALS or self.type in REFUSALS:
            return True
        error = self.payload.get("error") if isinstance(self.payload, dict) else None
        metadata = error.get("metadata") if isinstance(error, dict) else None
        # OpenRouter says 403 with the reasons of its moderation, and a number for a code.
        return isinstance(metadata, dict) and bool(metadata.get("flagged_input"))


def read_error(status: int, body: bytes) -> UpstreamError:
    """Understand OpenAI's, Anthropic's, AWS's, Google's and FastAPI's errors, and plain text."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return UpstreamError(f"HTTP {status}")  # HTML from a proxy helps nobody
    if isinstance(payload, list) and len(payload) == 1:
        payload = payload[0]  # Google's, of calls that may be answered by several
    error = payload.get("error", payload.get("detail")) if isinstance(payload, dict) else None
    if isinstance(error, str):
        return UpstreamError(error[:_MAX_TEXT] or f"HTTP {status}", payload=payload)
    if error is None and isinstance(payload, dict):
        error = payload.get("message", payload.get("Message"))  # AWS's, at the top
        if isinstance(error, dict):
            error = error.get("detail")  # Mistral's, of bodies that it cannot read
        elif error is not None:
            error = {"message": error}
    if isinstance(error, list):
        error = _first_of(error)
    if not isinstance(error, dict):
        return UpstreamError(f"HTTP {status}", payload=payload)
    return UpstreamError(
        message=_in_clients_words(_text(error.get("message"))) or f"HTTP {status}",
        type=word(error.get("type")),
        code=word(error.get("code")),
        payload=payload,
        **{"param": _named(_text(error.get("param"))), **_googles(error)},
    )


def _named(param: str | None) -> str | None:
    """The field as the client wrote it: vLLM says ``body.max_tokens`` of what it cannot read."""
    return param.removeprefix(_BODY) if param else param


def _in_clients_words(message: str | None) -> str | None:
    return message.replace(f"'loc': '{_BODY}", "'loc': '") if message else message


def _first_of(details: list[Any]) -> dict[str, Any]:
    """The first of what FastAPI found wrong with a body."""
    first = details[0] if details else None
    if not isinstance(first, dict):
        return {}
    place = first.get("loc")
    names = [str(each) for each in place if each != "body"] if isinstance(place, list) else []
    param, said = ".".join(names), _text(first.get("msg"))
    return {"message": f"{param}: {said}" if param and said else said, "param": param}


def _googles(error: dict[str, Any]) -> dict[str, Any]:
    """What Google's errors say besides: https://google.aip.dev/193."""
    status, details = error.get("status"), error.get("details")
    reasons = {status} if isinstance(status, str) else set()
    found: dict[str, Any] = {}
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        if isinstance(detail.get("reason"), str):
            reasons.add(detail["reason"])
        if (wait_s := _duration_s(detail.get("retryDelay"))) is not None:
            found["wait_s"] = wait_s
        violations = detail.get("fieldViolations")
        field = violations[0].get("field") if isinstance(violations, list) and violations else None
        if isinstance(field, str) and field:
            found["param"] = field
    return {**found, "reasons": frozenset(reasons)}


def _duration_s(said: object) -> float | None:
    """``"12.5s"`` as seconds."""
    match = _DURATION.fullmatch(said) if isinstance(said, str) else None
    return None if match is None else min(float(match[1]), MAX_RETRY_AFTER_S)


def rejection(
    status: int, error: UpstreamError, names: Mapping[str, str] | None = None
) -> TargetRejected:
    """The target's 4xx as ours: the code is always a string, an overflow always has the same one.

    Args:
        status: the target's status.
        error: what it said.
        names: the client's names of fields that have others at the target.
    """
    message, param = error.message, error.param
    for theirs, ours in (names or {}).items():
        # Small letters only may be a plain word: then only where it clearly is a field.
        plain = theirs.isalpha() and theirs.islower()
        before = r"(?:^|(?<=[`'\"=]))" if plain else r"\b"
        message = re.sub(rf"{before}{theirs}\b", ours, message)
        param = ours if param == theirs else param
    return TargetRejected(
        message,
        status=status,
        code=CONTEXT_OVERFLOW if error.is_overflow else error.code or "invalid_request",
        param=param,
    )


def unavailable(
    target: str, status: int, detail: str, wait_s: float | None, failure: Failure
) -> TargetUnavailable:
    """An answer that another target may do better; ``wait_s``: when to come back, seconds."""
    return TargetUnavailable(
        f"{target} answered {status}: {detail}",
        status=status if status in {429, 503} else 502,
        retry_after_s=wait_s,
        failure=failure,
    )


def failure_of(status: int, error: UpstreamError, wait_s: float | None) -> Failure:
    """What a status says about the target; ``wait_s``: when to come back, if it says so."""
    if error.is_ours:
        return Failure.CREDENTIALS
    if status == 429 and (error.code in ACCOUNT_IS_EMPTY or error.type in ACCOUNT_IS_EMPTY):
        return Failure.CREDENTIALS
    if status == 429 or (status in {503, 529} and wait_s is not None):
        return Failure.LIMITED
    if status in {401, 402, 403}:
        return Failure.CREDENTIALS
    if status in {404, 405, 501}:
        return Failure.MISSING
    if status in {408, 504}:
        return Failure.TIMEOUT
    return Failure.SERVER if status >= 500 else Failure.BROKEN


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """``Retry-After`` in seconds: a number or a date; None when absent or senseless.

    ``Retry-After-Ms``, which OpenAI and Azure send beside it, is finer and goes first.
    """
    try:
        return _bounded_s(float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return _bounded_s(seconds)


def _bounded_s(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def word(value: object) -> str | None:
    """A code or type: one word. It goes into records, where nothing may stand that was said."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
