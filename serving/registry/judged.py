"""Answers that somebody judged, where what was asked was kept: feedback, reviews, gates.

Each room is read anew for every fit and nothing is copied, so that what a room forgets, or may not
show any more, is learned from no longer (law 12). All of these were picked for a reason, so their
shares of good ones mean nothing; imported tables are the ones whose shares do.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.aliases import Peer, engine_name
from adapters.corpus.exchange import Exchange
from adapters.corpus.exchanges import Exchanges
from adapters.corpus.importing import IMPORTED
from adapters.gate.held_out import FrozenItems
from adapters.gate.reports import Reports
from adapters.review.reviews import Reviews
from adapters.review.verdicts import folded
from router.choose.learning import success_of
from router.intent.view import read_of
from serving.internal import paths
from serving.internal.client import InternalClient, Unanswered

MOST: Final = 5000
"""Judged answers of each kind, the newest."""
_REPORTS: Final = 100
_AT_ONCE: Final = 1000
_TIMEOUT_S: Final = 10.0
_OVERLAP_S: Final = 120.0
"""Asked for again each time: clocks differ, and a judgement takes a moment to be readable."""

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One judged answer, and what it was an answer to."""

    text: str
    turns: int
    input_bytes: int
    tools: bool
    target: str
    intent: str
    good: float
    origin: str


class Judged:
    """Reads the rooms. ``routers``: those that are alive; ``consents``: whose tenants do, now."""

    def __init__(
        self,
        exchanges: Exchanges,
        reviews: Reviews,
        held_out: FrozenItems,
        reports: Reports,
        routers: Callable[[], tuple[Peer, ...]],
        consents: Callable[[str], bool],
    ) -> None:
        self._exchanges = exchanges
        self._reviews = reviews
        self._held_out = held_out
        self._reports = reports
        self._routers = routers
        self._consents = consents
        self._client = InternalClient()
        self._since_s = 0.0
        self._said: OrderedDict[str, tuple[float, str]] = OrderedDict()

    @property
    def remembered(self) -> int:
        """Judgements of clients that are remembered; at most ``MOST``."""
        return len(self._said)

    async def hear(self) -> None:
        """Ask the routers what clients said since the last time. Who is silent is asked again."""
        peers = self._routers()
        path = f"{paths.FEEDBACK}?limit={_AT_ONCE}&since={self._since_s}"
        answers = await asyncio.gather(*(self._ask(peer, path) for peer in peers))
        found = [said for answer in answers if answer is not None for said in answer]
        for said in sorted(found, key=lambda each: float(each["at"])):
            self._remember(said)
            if None not in answers:
                self._since_s = max(self._since_s, float(said["at"]) - _OVERLAP_S)

    async def _ask(self, peer: Peer, path: str) -> list[dict[str, Any]] | None:
        try:
            answer = await self._client.ask(peer, "GET", path, timeout_s=_TIMEOUT_S)
        except Unanswered:
            return None
        found = answer.json()
        return found if answer.status == 200 and isinstance(found, list) else None

    def _remember(self, said: Mapping[str, Any]) -> None:
        success = success_of(said["kind"], said["value"])
        target = (said.get("judged") or {}).get("target")
        if success is None or target is None:
            return
        decision = str(said["decision_id"])
        self._said.pop(decision, None)
        self._said[decision] = success, str(target)
        if len(self._said) > MOST:
            self._said.popitem(last=False)

    def all(self) -> list[Asked]:
        """Every judged answer, in the same order for the same data. Blocks."""
        return [*self._gates(), *self._feedback(), *self._reviewed()]

    def _feedback(self) -> Iterator[Asked]:
        """What clients said: of all of it of what was kept, and the bad of what was kept for it."""
        said = dict(self._said)
        known = self._exchanges.of_decisions(said)
        for decision, (success, target) in sorted(said.items()):
            exchange = known.get(decision)
            if exchange is not None and self._may_teach(exchange):
                yield _asked(exchange.messages, target, exchange.intent, success, "feedback")

    def _reviewed(self) -> Iterator[Asked]:
        """Gold: the answer that was given is the right one, or another is."""
        gold = self._reviews.gold()[-MOST:]
        known = self._exchanges.found(each.exchange_id for each in gold)
        for each in gold:
            exchange = known.get(each.exchange_id)
            if exchange is None or exchange.target == IMPORTED:
                continue
            good = float(folded(exchange.response) == folded(each.answer))
            yield _asked(each.messages, exchange.target, each.intent, good, "review")

    def _gates(self) -> Iterator[Asked]:
        """Both versions' answers to held-out questions, scored."""
        left = MOST
        for report in self._reports.all_newest(_REPORTS):
            intents = tuple(report.get("intents") or ())
            rows = [row for intent in intents for row in self._held_out.holdout(intent)]
            if report.get("dataset"):
                rows += self._held_out.rows_of(report["dataset"])
            by_digest = {row.digest: row for row in rows if self._consents(row.tenant)}
            candidate = f"adapter:{engine_name(report['alias'], report['digest'])}"
            for item in report.get("items") or ():
                row = by_digest.get(item["id"])
                if row is None or left <= 0:
                    continue
                left -= 2
                scores = ((candidate, "candidate"), (report["current_target"], "current"))
                for target, name in scores:
                    if isinstance(item.get(name), int | float) and target:
                        good = min(1.0, max(0.0, float(item[name])))
                        yield _asked(row.messages, target, row.intent, good, "gate")

    def _may_teach(self, exchange: Exchange) -> bool:
        return exchange.trains and self._consents(exchange.tenant)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _asked(messages: Messages, target: str, intent: str, good: float, origin: str) -> Asked:
    """As the router that answered read it."""
    turns = [text for each in messages if each.get("role") == "user" and (text := _text(each))]
    newest = turns[-1] if turns else ""
    size = sum(len(_text(each).encode("utf-8", "replace")) for each in messages)
    tools = any(each.get("role") == "tool" or each.get("tool_calls") for each in messages)
    text = read_of(newest, turns)
    return Asked(text, len(turns), size, tools, target, intent, good, origin)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else ()
    found = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in found if isinstance(text, str))
