"""Errors sorted by what may be done about them: retry, fix the request, give up.

A code decides where there is one; an upstream's prose never does, except for the one thing that has
no code everywhere: that the prompt was too long (``router/wire/upstream_error.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from router.errors import Failure, InvalidRequest, RouterError, TargetBroken, TargetRejected
from router.wire.upstream_error import CONTEXT_OVERFLOW, REFUSALS


class Step(Enum):
    """What may be done next."""

    STOP = "stop"
    """The request is at fault, or refused: the same everywhere. Never routed around."""
    LARGER = "larger"
    """Too long for this window: only a target with a larger one may be asked."""
    NEXT = "next"
    """Another target; this one would say the same again."""
    AGAIN = "again"
    """The same target may be asked once more, at once or after a pause; or another."""
    LATER = "later"
    """Another target; this one once more only when nothing else is left."""


class Blame(StrEnum):
    """Whose record it goes into."""

    NOBODY = "nobody"
    """It was the client's fault or ours; the target is alive, or was not even asked."""
    TARGET = "target"
    PLACE = "place"
    """Of a local target: this replica, not the adapter. Of others: the target."""
    LIMIT = "limit"
    """It is alive and asked for patience."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """The sorting of one error."""

    step: Step
    blame: Blame


_OF_FAILURE = {
    Failure.UNREACHABLE: Remedy(Step.LATER, Blame.PLACE),
    Failure.RESET: Remedy(Step.AGAIN, Blame.PLACE),
    Failure.TIMEOUT: Remedy(Step.NEXT, Blame.PLACE),
    Failure.SERVER: Remedy(Step.AGAIN, Blame.TARGET),
    Failure.LIMITED: Remedy(Step.AGAIN, Blame.LIMIT),
    Failure.CREDENTIALS: Remedy(Step.NEXT, Blame.TARGET),
    Failure.MISSING: Remedy(Step.NEXT, Blame.TARGET),
    Failure.BUSY: Remedy(Step.NEXT, Blame.NOBODY),
    Failure.BROKEN: Remedy(Step.LATER, Blame.TARGET),
    Failure.CUT: Remedy(Step.LATER, Blame.PLACE),
    Failure.STALLED: Remedy(Step.NEXT, Blame.PLACE),
}
_STOP = Remedy(Step.STOP, Blame.NOBODY)
_UNABLE = Remedy(Step.NEXT, Blame.NOBODY)
"""The request cannot be said in this target's dialect; its own words were never sent."""
_LARGER = Remedy(Step.LARGER, Blame.NOBODY)
_CLIENTS_FAULT = frozenset({"invalid_request_error", "invalid_request", "BadRequestError"})


def sort(error: RouterError) -> Remedy:
    """What may be done about an error that came before any byte was passed on."""
    if isinstance(error, TargetRejected):
        return _LARGER if error.code == CONTEXT_OVERFLOW else _STOP
    if isinstance(error, TargetBroken) and error.code in REFUSALS | _CLIENTS_FAULT:
        return _STOP
    if isinstance(error, TargetBroken) and error.code == CONTEXT_OVERFLOW:
        return _LARGER
    if isinstance(error, InvalidRequest):
        return _UNABLE
    failure = getattr(error, "failure", None)
    return _OF_FAILURE[failure] if isinstance(failure, Failure) else _STOP


def as_rejection(error: RouterError) -> RouterError:
    """An error object inside a 200 that says what a 400 would have said, as that 400."""
    if not isinstance(error, TargetBroken) or sort(error).step not in {Step.STOP, Step.LARGER}:
        return error
    return TargetRejected(error.message, status=400, code=error.code)
