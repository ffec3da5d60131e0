"""One review: the exchange with its context, answers side by side, and the verdict."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from adapters.corpus.tools import CALLS, arguments_of, calls_in, calls_of, offered
from router.config.auth import KeyScope
from router.errors import InvalidRequest, RouterError
from serving.console.api import Api, part
from serving.console.page import Page, Visit
from serving.console.worddiff import Piece, word_diff
from serving.console.words import pretty

_LETTERS: Final = "ABCDEFGHIJ"
_VERDICTS: Final = ("accept", "edit", "reject", "escalate")


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``RouterError``."""
    found = await visit.api.get(f"/reviews/{part(visit.path['id'])}")
    exchange = found.get("exchange") or {}
    messages = (exchange.get("request") or exchange).get("messages") or []
    given = str(exchange.get("response") or "")
    details = exchange.get("details") or {}
    asked = offered(details)
    answers = await asyncio.to_thread(_answers, found, given, asked.names)
    typed = visit.form.get("answer")
    settled = str(found.get("answer") or given)
    holder = found.get("claimed_by") if found.get("state") == "claimed" else None
    return {
        "review": found,
        "exchange": exchange,
        "messages": messages,
        "tools": [tool["function"] for tool in asked.tools],
        "left_out": asked.left_out,
        "given": given,
        "answers": answers,
        "answer": settled if typed is None else typed,
        "comment": visit.form.get("comment", ""),
        "diff": word_diff(given, typed or settled),
        "is_mine": holder == visit.name,
        "held_by": holder if holder not in (None, visit.name) else None,
        "history": [_shown(each, given) for each in found.get("history") or ()],
        "guidelines": _guidelines(found),
        "intent": visit.query.get("intent", ""),
        "last": visit.query.get("last", "") or visit.path["id"],
        "editing": "edit" in visit.query,
        "here": _here(visit),
    }


def _answers(found: Mapping[str, Any], given: str, names: Collection[str]) -> list[dict[str, Any]]:
    """The answer that was given and the others, each with what differs from the first."""
    exchange = found.get("exchange") or {}
    beside = calls_of((exchange.get("details") or {}).get(CALLS), names)
    target = exchange.get("target") or ""
    rows: list[dict[str, Any]] = [{"source": target, "answer": given, "calls": beside}]
    rows += [each for each in found.get("candidates") or () if isinstance(each, dict)]
    first = _read(given, beside, names)
    answers = []
    for letter, row in zip(_LETTERS, rows, strict=False):
        answer = str(row.get("answer") or "")
        read = _read(answer, row.get("calls") or (), names)
        answers.append(
            {
                "letter": letter,
                "source": row.get("source") or row.get("target") or "",
                "mark": _mark(answer),
                "answer": answer,
                "read": read,
                "diff": word_diff(first, read),
            }
        )
    return answers


def _read(answer: str, beside: Sequence[Mapping[str, Any]], names: Collection[str]) -> str:
    """An answer for people: what it says, then each call with its arguments a line."""
    only = calls_in(answer, names)
    calls = [_called(call) for call in (*only, *beside)]
    return "\n\n".join([*([] if only else [answer]), *calls])


def _called(call: Mapping[str, Any]) -> str:
    arguments, function = arguments_of(call), call["function"]
    told = function["arguments"] if arguments is None else pretty(arguments)
    return f"calls {function['name']} {told}"


def _shown(said: Mapping[str, Any], given: str) -> dict[str, Any]:
    """One verdict of the history, with what it changed of the answer."""
    answer = str(said.get("answer") or "")
    diff: list[Piece] = word_diff(given, answer) if answer and answer != given else []
    return {**said, "diff": diff}


def _guidelines(found: Mapping[str, Any]) -> str:
    told = found.get("guidelines") or ""
    return str(told.get("text", "")) if isinstance(told, dict) else str(told)


def _here(visit: Visit) -> str:
    kept = {name: visit.query[name] for name in ("intent",) if visit.query.get(name)}
    return f"/reviews/{part(visit.path['id'])}" + (f"?{urlencode(kept)}" if kept else "")


async def act(visit: Visit) -> str:
    """Claim, release, judge or undo. Raises ``RouterError``."""
    what, path = visit.form.get("do", ""), f"/reviews/{part(visit.path['id'])}"
    if what in ("claim", "release"):
        await visit.api.send("POST", f"{path}/{what}")
        return _at(visit, visit.path["id"], what)
    if what == "undo":
        await visit.api.send("POST", f"{path}/undo")
        return _at(visit, visit.path["id"], what)
    verdict, _, mark = what.partition(" ")
    if verdict not in _VERDICTS:
        raise InvalidRequest("There is no such button.")
    body = {"verdict": verdict, "comment": visit.form.get("comment", "").strip()}
    if verdict == "edit":
        body["answer"] = visit.form.get("answer", "")
    elif mark:
        body["answer"] = await _chosen(visit, mark)
    await visit.api.send("POST", path, {name: text for name, text in body.items() if text})
    upcoming = await _next(visit.api, visit.path["id"], visit.query.get("intent", ""))
    return _at(visit, upcoming, verdict, last=visit.path["id"])


async def _chosen(visit: Visit, mark: str) -> str:
    """The answer that the visitor saw; empty: the one that was given. Raises ``InvalidRequest``."""
    facts = await show(visit)
    for place, each in enumerate(facts["answers"]):
        if each["mark"] == mark:
            return str(each["answer"]) if place else ""
    raise InvalidRequest("The answers have changed since you looked: see them again.")


def _mark(answer: str) -> str:
    """Names an answer on the page: its place in the list may be another's when it is chosen."""
    return hashlib.sha256(answer.encode("utf-8", "replace")).hexdigest()[:16]


async def _next(api: Api, after: str, intent: str) -> str:
    """The item to go on with, which is claimed with that; the same where nothing waits."""
    try:
        found = await api.send("POST", "/reviews/next", intent=intent)
    except RouterError:
        return after  # nothing waits; or what is wrong is seen on the next page: the verdict counts
    return str(found["id"])


def _at(visit: Visit, identity: str, done: str, last: str = "") -> str:
    kept = {"intent": visit.query.get("intent", ""), "done": done, "last": last}
    return f"/reviews/{part(identity)}?{urlencode({n: v for n, v in kept.items() if v})}"


PAGE = Page(
    "/reviews/{id}",
    "Review",
    "review.html",
    show,
    act,
    scope=KeyScope.REVIEWER,
    live=("review",),
    said={
        "claim": "The item is yours.",
        "release": "The item is free again.",
        "accept": "Accepted.",
        "edit": "Your answer was saved.",
        "reject": "Rejected.",
        "escalate": "Escalated.",
        "undo": "Your verdict was taken back.",
    },
    max_bytes=1024 * 1024,
)
