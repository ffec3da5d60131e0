"""A finished request as the corpus keeps it: read, recognised, and redacted before anything else.

What is made here is the first form of it that may be written anywhere (law 6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

import orjson

from adapters.corpus.delivery import Afterwards
from adapters.corpus.exchange import Exchange as Kept
from adapters.corpus.merging import SAID
from adapters.corpus.tools import written
from router.capture.conversation import Conversation, Unreadable, call_of, conversation
from router.capture.recent import Finished
from router.capture.signals import Signs, signs
from router.govern.governance import Governance
from router.intent.stage import IntentStage
from router.request import NO_INTENT
from router.wire.answered import Answered, answered
from router.wire.endpoint import Endpoint
from router.wire.events import Events
from router.wire.formats import FORMATS

_MAX_LOGPROBS: Final = 8192
_MAX_LOGPROBS_BYTES: Final = 192 * 1024
_MAX_TEXT_BYTES: Final = 512 * 1024
_EMPTY: Final = Answered()


class Persons(Protocol):
    """What stands for persons in the corpus."""

    def hash(self, person: str, /) -> str:
        """A keyed hash; ``known`` has to have returned."""
        ...

    async def known(self) -> None:
        """Wait until hashes can be made."""
        ...


class Entries:
    """Makes what is sent to the corpus.

    Args:
        governance: redacts.
        intents: says what a request is about for which nobody had to know.
        persons: what stands for them.
    """

    def __init__(self, governance: Governance, intents: IntentStage, persons: Persons) -> None:
        self._governance = governance
        self._intents = intents
        self._persons = persons

    async def ready(self) -> None:
        """Wait until it is known what stands for persons."""
        await self._persons.known()

    async def look(self, finished: Finished) -> tuple[Answered, Signs]:
        """What was answered, and what is to be said of it. Off the loop."""
        return await asyncio.to_thread(_look, finished)

    async def exchange(self, finished: Finished, answer: Answered, signs: Signs) -> Kept:
        """The exchange.

        Raises ``Unreadable`` when it is none to learn from, ``GuardUnavailable`` when nobody can
        tell what of it must not be kept.
        """
        request = finished.exchange.request
        asked = await asyncio.to_thread(_asked, finished)
        own = {
            "messages": asked.messages,
            "response": response_of(answer),
            "more": dict(asked.more),
            "tool_calls": calls_beside(answer),
        }
        shown = await self._redacted(finished, own)
        chosen = finished.exchange.delivery.chosen
        told = {**{sign.value: why for sign, why in signs.items()}, **finished.also}
        return Kept(
            id="",
            at=request.at,
            intent=await self._intent(finished),
            tenant=request.tenant,
            target=chosen.target if chosen is not None else "none",
            messages=tuple(shown["messages"]),
            response=shown["response"],
            session=await self._session(finished),
            decision_id=request.decision_id,
            subjects=self.subjects(finished),
            confidence=finished.exchange.confidence,
            cost_usd=finished.exchange.account.cost_usd,
            signals=tuple(told),
            details={
                **_review(finished),
                **_filled(
                    {
                        "signs": told,
                        "documents": finished.exchange.context.documents,
                        "tool_calls": shown["tool_calls"],
                        "media": asked.media,
                        "policy_version": finished.exchange.decision.policy_version,
                    }
                ),
                **shown["more"],
                **(_logprobs(finished) if shown == own else {}),
            },
            trains=finished.trains,
        )

    async def afterwards(
        self, finished: Finished, names: Iterable[str], details: Mapping[str, Any], at: float
    ) -> Afterwards:
        """What became known of one later, with the placeholders of its exchange.

        Raises as ``exchange``.
        """
        answer, _ = await self.look(finished)
        asked = await asyncio.to_thread(_asked, finished)
        # In the order of the exchange itself: numbers follow it.
        shown = await self._redacted(
            finished,
            {
                "messages": asked.messages,
                "response": response_of(answer),
                "more": dict(asked.more),
                "tool_calls": calls_beside(answer),
                "later": _said(details),
            },
        )
        known = _saying(details, shown["later"])
        return Afterwards(finished.decision_id, tuple(names), known, self.subjects(finished), at)

    async def unknown(
        self, decision_id: str, names: Iterable[str], details: Mapping[str, Any], at: float
    ) -> Afterwards:
        """The same of a request that is not remembered here. Raises ``GuardUnavailable``."""
        shown = await self._governance.learned_from(_said(details))
        return Afterwards(decision_id, tuple(names), _saying(details, shown), (), at)

    def subjects(self, finished: Finished) -> tuple[str, ...]:
        """What stands for whose data it carries."""
        return tuple(sorted(map(self._persons.hash, finished.exchange.request.subjects)))

    async def _redacted(self, finished: Finished, value: dict[str, Any]) -> dict[str, Any]:
        persons = finished.exchange.request.subjects
        shown: dict[str, Any] = await self._governance.learned_from(value, persons)
        return shown

    async def _intent(self, finished: Finished) -> str:
        known = finished.exchange.decision.intent
        if known.name is None and not known.out_of_scope:
            request = finished.exchange.request
            known = await self._intents.recognised(request)
        return known.name or NO_INTENT

    async def _session(self, finished: Finished) -> str:
        """As the client called it, unless the name says who somebody is."""
        session = finished.exchange.request.hints.session or ""
        persons = finished.exchange.request.subjects
        if not session or await self._governance.learned_from(session, persons) == session:
            return session
        return f"session_{self._persons.hash(session)[:24]}"


def _said(details: Mapping[str, Any]) -> dict[str, list[str]]:
    """The words of others in details, for redaction; the rest is this system's own."""
    return {
        name: [each[field] if field else each for each in details[name]]
        for name, field in SAID.items()
        if name in details
    }


def _saying(details: Mapping[str, Any], said: Mapping[str, list[str]]) -> dict[str, Any]:
    """The details with these words in place of others'."""
    changed = {
        name: [
            {**each, SAID[name]: text} if SAID[name] else text
            for each, text in zip(details[name], texts, strict=True)
        ]
        for name, texts in said.items()
    }
    return {**details, **changed}


def _look(finished: Finished) -> tuple[Answered, Signs]:
    request = finished.exchange.request
    if not finished.raw:
        return _EMPTY, signs(finished.exchange, None)
    answer = answered(request.endpoint, finished.raw, streamed=request.stream)
    return answer, signs(finished.exchange, answer)


def _asked(finished: Finished) -> Conversation:
    request = finished.exchange.request
    found = conversation(request.endpoint, request.body)
    size = sum(len(str(each["content"])) for each in found.messages)
    if size > _MAX_TEXT_BYTES:
        raise Unreadable("it is too long to be learned from")
    return found


def response_of(answer: Answered) -> str:
    """The text; of an answer that only calls tools, the calls as JSON."""
    said = answer.text or answer.refusal
    return said if said.strip() or not answer.calls else written(calls_of(answer))


def offer_of(answer: Answered) -> str:
    """What reviewers may choose in place of another answer: its calls, where it makes any."""
    return written(calls_of(answer)) if answer.calls else answer.text


def calls_beside(answer: Answered) -> list[dict[str, Any]]:
    """The calls of an answer that says something too."""
    return calls_of(answer) if answer.text.strip() else []


def calls_of(answer: Answered) -> list[dict[str, Any]]:
    """An answer's calls, in chat's shape."""
    return [call_of(None, call.name, call.arguments) for call in answer.calls]


def _review(finished: Finished) -> dict[str, Any]:
    """What a rule wants of a person, if it does."""
    ruling = finished.exchange.decision.ruling
    if not ruling.review:
        return {}
    identity = "rev" + finished.decision_id.removeprefix("dec")
    asked = {"id": identity, "rules": list(ruling.reviewed_for), "when": ruling.review}
    return {"review": {**asked, "decision_id": finished.decision_id}}


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _logprobs(finished: Finished) -> dict[str, Any]:
    """The tokens' probabilities as the answer told them.

    Only of an exchange in which nothing had to be redacted: tokens are pieces of words, in which
    nobody finds a name.
    """
    found = list(_positions(finished.exchange.request.endpoint, finished))
    if not found or len(found) > _MAX_LOGPROBS:
        return {}
    return {"logprobs": found} if len(orjson.dumps(found)) <= _MAX_LOGPROBS_BYTES else {}


def _positions(endpoint: Endpoint, finished: Finished) -> Iterator[dict[str, Any]]:
    if b"logprob" not in finished.raw:
        return
    wire, raw = FORMATS[endpoint], finished.raw
    streamed = finished.exchange.request.stream
    for found in [each.json for each in Events(raw)] if streamed else [_whole(raw)]:
        for told in wire.logprobs(found) if isinstance(found, dict) else ():
            if isinstance(told, dict):
                yield from _of_completions(told) if "tokens" in told else _of_chat(told)


def _of_completions(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    names = ("tokens", "token_logprobs", "top_logprobs")
    tokens, found, tops = (told.get(name) or [] for name in names)
    for place, (token, logprob) in enumerate(zip(tokens, found, strict=False)):
        top = tops[place] if place < len(tops) else None
        pairs = top.items() if isinstance(top, dict) else ()
        alternatives = [{"token": str(name), "logprob": each} for name, each in pairs]
        yield {"token": str(token), "logprob": logprob, "top": alternatives}


def _of_chat(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """``{token, logprob, top: [{token, logprob}]}`` of each token."""
    content = told.get("content")
    for each in content if isinstance(content, list) else ():
        if isinstance(each, dict) and isinstance(each.get("logprob"), int | float):
            top = each.get("top_logprobs")
            yield {
                "token": str(each.get("token", "")),
                "logprob": each["logprob"],
                "top": [
                    {"token": str(one.get("token", "")), "logprob": one.get("logprob")}
                    for one in (top if isinstance(top, list) else ())
                    if isinstance(one, dict)
                ],
            }


def _whole(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
