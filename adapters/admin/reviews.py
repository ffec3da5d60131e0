"""The resource ``reviews``: the queue, verdicts, guidelines, how reviewers do. Thin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from adapters.admin.exchanges import row as exchange_row
from adapters.admin.parts import actor, choice
from adapters.records.line import iso
from adapters.resources import (
    BadField,
    Page,
    Resource,
    body_of,
    cursor_of,
    describes,
    page_of,
    refuse_unknown,
)
from adapters.review.guidelines import EVERYWHERE, Guidelines
from adapters.review.item import Candidate, Review, Said, State
from adapters.review.listing import After, Wanted
from adapters.review.measuring import Measuring, Reviewer
from adapters.review.reviews import Reviews
from adapters.review.verdicts import Outcome, Verdict

_PATH = "/admin/v1/reviews"
_ONE = f"{_PATH}/{{id}}"
_MAX_COMMENT = 4000
_UNANSWERED = "escalated, and nobody else judged it in time"
_MAX_INTENT = 256
_MAX_GUIDELINE = 20_000
_NO_CURSOR = "'cursor' must be the 'next' of an earlier answer."
_MAX_TIER = 2**31 - 1
"""What every database takes."""

Keep = Callable[[Any], Awaitable[Any]]
"""JSON as it may be kept (law 6). Raises what refuses the request when nobody can tell."""


@dataclass(frozen=True)
class ReviewDesk:
    """What the resource works with."""

    reviews: Reviews
    guidelines: Guidelines
    measuring: Measuring
    keep: Keep


class VerdictRequest(BaseModel):
    """What a reviewer says."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    answer: str | None = Field(
        default=None,
        description="the right answer, with `edit`; with `accept` one of the candidates, or nothing"
        " for the answer that was given",
    )
    comment: str = Field(default="", max_length=_MAX_COMMENT)


class GuidelineRequest(BaseModel):
    """What reviewers are to go by, Markdown; an empty text removes it."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=_MAX_GUIDELINE)


# Looking


@describes(
    query={
        "state": "`open`, `claimed` or `done`; without it all",
        "intent": "of which intent",
        "to_do": "`true`: only what the caller has not judged",
        "limit": "rows, at most 1000",
        "cursor": "the `next` of the page before",
    }
)
async def reviews(desk: ReviewDesk, request: Request) -> Response:
    """The queue: what to do next first; of what is done, the newest first."""
    query = request.query_params
    page = page_of(query)
    state = choice(query, "state", tuple(State))
    wanted = Wanted(
        None if state is None else State(state),
        query.get("intent"),
        actor(request),
        choice(query, "to_do", ("true", "false")) == "true",
        page.limit + 1,
        _after(page),
    )
    found = await asyncio.to_thread(desk.reviews.page, wanted)
    shown, reader = found[: page.limit], actor(request)
    more = cursor_of(_key(shown[-1])) if len(found) > page.limit else None
    rows = [_row(each.seen_by(reader), reader) for each in shown]
    return _json({"object": "list", "data": rows, "next": more})


async def review(desk: ReviewDesk, request: Request) -> Response:
    """One item: its exchange, candidates, guidelines and history."""
    return await _shown(desk, request, request.path_params["id"])


@describes(query={"intent": "of one intent; of all, without it"})
async def agreement(desk: ReviewDesk, request: Request) -> Response:
    """How far reviewers agree: pairwise, and Krippendorff's alpha for nominal values."""
    intent = request.query_params.get("intent")
    found = await asyncio.to_thread(desk.measuring.agreement, intent)
    return _json({"intent": intent, **asdict(found)})


async def reviewers(desk: ReviewDesk, request: Request) -> Response:
    """Everybody who judged anything, and how often each is right where that is known."""
    page = page_of(request.query_params)
    found = await asyncio.to_thread(desk.measuring.reviewers)
    left = [each for each in found if each.name > page.after]
    shown = left[: page.limit]
    more = cursor_of(shown[-1].name) if len(left) > len(shown) else None
    return _json({"object": "list", "data": [_reviewer(each) for each in shown], "next": more})


# Working


async def claim(desk: ReviewDesk, request: Request) -> Response:
    """Take an item; it is free again after `reviews.lock_s`."""
    return await _done(desk, request, desk.reviews.claim)


@describes(query={"intent": "of which intent; without it, of any"})
async def take_next(desk: ReviewDesk, request: Request) -> Response:
    """Claim what the caller should look at next; 404 when nothing waits for him."""
    refuse_unknown(request.query_params, take_next)
    intent = request.query_params.get("intent")
    found = await asyncio.to_thread(desk.reviews.next, actor(request), intent)
    if found is None:
        raise BadField("Nothing waits for you.", None, code="nothing_to_review", status=404)
    _note(request, review=found)
    return await _shown(desk, request, found)


async def release(desk: ReviewDesk, request: Request) -> Response:
    """Give an item back."""
    return await _done(desk, request, desk.reviews.release)


async def undo(desk: ReviewDesk, request: Request) -> Response:
    """Take one's own verdict back."""
    return await _done(desk, request, desk.reviews.undo)


@describes(body=VerdictRequest)
async def judge(desk: ReviewDesk, request: Request) -> Response:
    """Give one's verdict; the claim ends with it."""
    body = await body_of(request, VerdictRequest)
    about = await asyncio.to_thread(desk.reviews.find, request.path_params["id"])
    said = await _kept(desk, about, {"answer": body.answer, "comment": body.comment})
    if body.verdict is Verdict.ACCEPT and body.answer in _there(about):
        said["answer"] = body.answer  # Kept already: in other words it would be no candidate.

    def judged(identity: str, reviewer: str) -> None:
        desk.reviews.judge(identity, reviewer, body.verdict, **said)

    return await _done(desk, request, judged, verdict=body.verdict.value)


# Guidelines


async def guidelines(desk: ReviewDesk, request: Request) -> Response:
    """What reviewers are to go by, by intent."""
    page_of(request.query_params)
    found = await asyncio.to_thread(desk.guidelines.all)
    rows = [
        {"intent": each.intent or None, "text": each.text, "by": each.by, "time": iso(each.at)}
        for each in found
    ]
    return _json({"object": "list", "data": rows, "next": None})


@describes(
    query={"intent": "of which intent; without it, for all"},
    body=GuidelineRequest,
)
async def put_guideline(desk: ReviewDesk, request: Request) -> Response:
    """Write down what reviewers of an intent are to go by."""
    refuse_unknown(request.query_params, put_guideline)
    body = await body_of(request, GuidelineRequest)
    intent = request.query_params.get("intent", EVERYWHERE)
    if len(intent) > _MAX_INTENT:
        raise BadField(f"'intent' has at most {_MAX_INTENT} characters.", "intent")
    text = await desk.keep(body.text) if body.text else ""
    await asyncio.to_thread(desk.guidelines.put, intent, text, actor(request))
    return _json({"intent": intent or None, "text": text})


RESOURCES: tuple[Resource[ReviewDesk], ...] = (
    Resource("reviewer", "GET", _PATH, reviews),
    Resource("reviewer", "GET", f"{_PATH}/agreement", agreement),
    Resource("reviewer", "GET", f"{_PATH}/reviewers", reviewers),
    Resource("reviewer", "GET", f"{_PATH}/guidelines", guidelines),
    Resource("reviewer", "PUT", f"{_PATH}/guidelines", put_guideline),
    Resource("reviewer", "POST", f"{_PATH}/next", take_next),
    Resource("reviewer", "GET", _ONE, review),
    Resource("reviewer", "POST", _ONE, judge),
    Resource("reviewer", "POST", f"{_ONE}/claim", claim),
    Resource("reviewer", "POST", f"{_ONE}/release", release),
    Resource("reviewer", "POST", f"{_ONE}/undo", undo),
)


async def _kept(desk: ReviewDesk, review: Review, said: dict[str, Any]) -> dict[str, Any]:
    """What a reviewer wrote, as it may be kept: in the placeholders of the exchange it is about."""
    written = {name: text for name, text in said.items() if text}
    if not written:
        return said
    exchange = review.exchange
    about = [] if exchange is None else [*exchange.messages, exchange.response]
    return {**said, **(await desk.keep({"about": about, "said": written}))["said"]}


def _there(review: Review) -> set[str]:
    """Answers that may be accepted."""
    given = [] if review.exchange is None else [review.exchange.response]
    candidates = [each.answer for each in review.candidates]
    return {*given, *candidates, *(said.answer for said in review.history)}


async def _done(
    desk: ReviewDesk, request: Request, act: Callable[[str, str], None], **told: str
) -> Response:
    identity = request.path_params["id"]
    _note(request, review=identity, **told)
    await asyncio.to_thread(act, identity, actor(request))
    return await _shown(desk, request, identity)


def _note(request: Request, **told: str) -> None:
    """For the log of admin actions."""
    noted = request.scope.get("recorded")
    if isinstance(noted, dict):
        noted |= told


async def _shown(desk: ReviewDesk, request: Request, identity: str) -> Response:
    found = await asyncio.to_thread(desk.reviews.find, identity)
    reader = actor(request)
    seen = found.seen_by(reader)
    shown = {
        **_row(seen, reader),
        "candidates": [_candidate(each) for each in seen.candidates],
        "guidelines": await asyncio.to_thread(desk.guidelines.of, found.intent),
        "history": _history(seen),
    }
    return _json(shown)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _row(review: Review, reader: str) -> dict[str, Any]:
    own = review.own(reader)
    return {
        "id": review.id,
        "state": review.state.value,
        "intent": review.intent,
        "tenant": review.tenant,
        "why": list(review.why),
        "priority": {"tier": review.tier, "weight": review.weight},
        "time": iso(review.opened_at),
        "settled": None if review.settled_at is None else iso(review.settled_at),
        "outcome": review.outcome,
        "answer": review.answer,
        "provenance": review.provenance,
        "disputed": review.disputed,
        "escalated": review.escalated,
        "verdicts": review.verdicts,
        "needed": review.needed,
        "claimed_by": review.claimed_by,
        "claimed_until": iso(review.claimed_until) if review.claimed_by else None,
        "yours": None if own is None or own.verdict is None else own.verdict.value,
        "exchange_id": review.exchange_id,
        "decision_id": review.decision_id or None,
        "exchange": None if review.exchange is None else exchange_row(review.exchange),
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {"source": candidate.source, "answer": candidate.answer}


def _history(review: Review) -> list[dict[str, Any]]:
    opened = {"time": iso(review.opened_at), "action": "opened", "why": list(review.why)}
    lines: list[tuple[float, dict[str, Any]]] = [(review.opened_at, opened)]
    for said in review.history:
        lines.append((said.at, _said(said)))
        if said.undone_at is not None:
            line = {"time": iso(said.undone_at), "action": "undone", "reviewer": said.reviewer}
            lines.append((said.undone_at, line))
    if review.outcome is Outcome.UNANSWERED and review.settled_at is not None:
        closed = {"time": iso(review.settled_at), "action": "closed", "why": [_UNANSWERED]}
        lines.append((review.settled_at, closed))
    return [line for _, line in sorted(lines, key=lambda each: each[0])]


def _said(said: Said) -> dict[str, Any]:
    line = {"time": iso(said.at), "action": "verdict", "reviewer": said.reviewer}
    if said.verdict is None:  # not for this reader's eyes yet
        return line
    return {
        **line,
        "verdict": said.verdict.value,
        "answer": said.answer or None,
        "source": said.source or None,
        "comment": said.comment,
        "undone": said.undone_at is not None,
    }


def _reviewer(found: Reviewer) -> dict[str, Any]:
    shown = asdict(found)
    return {**shown, "last": iso(found.last)}


def _key(review: Review) -> str:
    after = After.of(review)
    return orjson.dumps([after.id, after.tier, after.weight, after.settled_at]).decode()


def _after(page: Page) -> After | None:
    if not page.after:
        return None
    try:
        identity, tier, weight, settled_at = orjson.loads(page.after)
        after = After(str(identity), int(tier), float(weight), float(settled_at))
    except (ValueError, TypeError, OverflowError) as error:
        raise BadField(_NO_CURSOR, "cursor") from error
    if not 0 <= after.tier <= _MAX_TIER:
        raise BadField(_NO_CURSOR, "cursor")
    return after
