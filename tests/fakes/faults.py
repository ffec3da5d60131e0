"""The ways in which the fake frontier can misbehave."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What goes wrong. Kinds marked * differ between a stream and a whole answer."""

    STATUS = "status"
    """An error status with an error body."""
    RESET = "reset"
    """The connection is reset before any answer."""
    CLOSE = "close"
    """The connection is closed, politely, before any answer."""
    HANG_BEFORE_HEADERS = "hang_before_headers"
    HANG_BEFORE_FIRST_BYTE = "hang_before_first_byte"
    """Status and headers, then nothing."""
    HANG_MIDWAY = "hang_midway"
    """* ``after`` events, or half the body, then nothing."""
    CUT = "cut"
    """* Reset after ``after`` events, or after half the body."""
    BREAK_OFF = "break_off"
    """* Like ``CUT``, but closed politely: what was sent before surely arrives."""
    CUT_IN_EVENT = "cut_in_event"
    """* Like ``CUT``, in the middle of an event."""
    ERROR_MIDWAY = "error_midway"
    """* An error event after ``after`` events; for a whole answer an error object inside a 200."""
    ERROR_IN_200 = "error_in_200"
    """A JSON error object with status 200, for streams too."""
    MALFORMED = "malformed"
    """* JSON that stops in the middle, properly framed."""
    EMPTY = "empty"
    """A 200 without a body."""
    NO_END = "no_end"
    """* Everything but the dialect's last event (``[DONE]``); a whole answer is not affected."""
    HTML = "html"
    """A 200 with a web page, as from a proxy."""
    OTHER_JSON = "other_json"
    """A 200 with JSON of something else."""
    REDIRECT = "redirect"
    """A 307 to somewhere else."""
    BAD_GZIP = "bad_gzip"
    """A 200 that claims to be compressed and is not."""
    NOT_HTTP = "not_http"
    """Bytes of another protocol."""
    GIANT = "giant"
    """* ``after`` events, then one that never ends; or a body of the same size."""
    PINGS = "pings"
    """* ``after`` events, then comments for ever; or white space before a body."""
    WRONG_TYPE = "wrong_type"
    """Right, as ``text/plain``."""
    OTHER_FORM = "other_form"
    """A whole answer where a stream was asked for, and the other way round."""
    ODD_HEADERS = "odd_headers"
    """Right, with headers twice, empty, and of letters that are no ASCII."""
    HUGE_HEADERS = "huge_headers"
    """Right, below a header of a megabyte."""
    TWO_LENGTHS = "two_lengths"
    """A body of two lengths, as who smuggles sends it."""
    BAD_JSON = "bad_json"
    """* Like ``MALFORMED``, but it ends with a brace, as what is whole does."""
    BAD_UTF8 = "bad_utf8"
    """* A byte that is no UTF-8 inside the text."""
    NO_USAGE = "no_usage"
    """Right, but nothing is counted."""
    NO_FINISH = "no_finish"
    """Right, but it does not say why it ended."""
    SLOW_DRIP = "slow_drip"
    """Right, but one piece every ``delay_s``; a whole answer in eight pieces."""
    SLOW_START = "slow_start"
    """Right, but ``delay_s`` late."""


_RIGHT = {Kind.SLOW_DRIP, Kind.SLOW_START, Kind.ODD_HEADERS, Kind.NO_USAGE, Kind.NO_FINISH}


def is_harmless(kind: Kind, *, stream: bool) -> bool:
    """Whether the answer is a right one all the same."""
    return kind in _RIGHT or (not stream and kind in {Kind.NO_END, Kind.WRONG_TYPE})


@dataclass(frozen=True)
class Fault:
    """One fault, for one request.

    Attributes:
        kind: what goes wrong.
        status: HTTP status of ``STATUS``.
        message: what the error says; ``{key}`` in it becomes the key that the request came with.
        code: its code.
        retry_after: the ``Retry-After`` header, verbatim.
        after: events that pass before a stream fails.
        delay_s: pause of the slow kinds, seconds.
    """

    kind: Kind
    status: int = 500
    message: str = "the frontier is not well"
    code: str | None = None
    retry_after: str | None = None
    after: int = 3
    delay_s: float = 0.05


_IN_PROMPT = re.compile(r"\[\[fault:([a-z_0-9]+)(?::(\d+))?\]\]")


_AS_JSON = re.compile(r"\[\[(\{.*?\})\]\]")


def fault_in_prompt(text: str) -> Fault | None:
    """The fault that a prompt asks for: ``[[fault:cut]]``, ``[[fault:status:429]]`` or JSON."""
    whole = _AS_JSON.search(text)
    if whole is not None:
        return fault_from_json(json.loads(whole[1]))
    match = _IN_PROMPT.search(text)
    if match is None:
        return None
    return Fault(Kind(match[1]), status=int(match[2] or 500))


def fault_from_json(found: dict[str, Any]) -> Fault:
    """A fault as the fake's control route takes it."""
    return Fault(**{**found, "kind": Kind(found["kind"])})
