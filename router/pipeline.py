"""One request from its bytes to its answer: every stage, in order; the table of contents.

    admit → data-prep → governance in → intent → policy → choose → context + send → confidence
          → governance out → stream → settle → shadow

``policy`` says what the caller may be answered by, and ``choose`` names, filters and ranks the
candidates, so that ``send`` and every retry inside it see only what is permitted (law 5).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from router import prepare as data_prep
from router.account.settle import Settlement
from router.admit.admission import Admission
from router.budgets.holds import Budgets
from router.cache.responses import Responses
from router.choose import choose
from router.choose.refusals import nobody
from router.errors import RouterError
from router.govern import stage as governance
from router.intent.stage import IntentStage
from router.judge.confidence import Judge, JudgedAnswer
from router.judge.watched import Outgoing
from router.policy import stage as policy
from router.replicas.table import TableHolder
from router.request import Exchange
from router.send import Sender, shadow


@dataclass(frozen=True)
class Books:
    """What is looked into before a target is asked, and what is written into afterwards."""

    budgets: Budgets
    responses: Responses
    settlement: Settlement


class Pipeline:
    """The request path, wired once per process."""

    def __init__(
        self,
        admission: Admission,
        classifier: IntentStage,
        chooser: choose.Chooser,
        judge: Judge,
        holder: TableHolder,
        sender: Sender,
        books: Books,
        shadows: shadow.Shadow,
    ) -> None:
        self._budgets = books.budgets
        self._responses = books.responses
        self._settlement = books.settlement
        self._shadow = shadows
        self._admission = admission
        self._classifier = classifier
        self._chooser = chooser
        self._judge = judge
        self._holder = holder
        self._sender = sender

    @property
    def under_way(self) -> int:
        """Inference requests that were admitted and are not over."""
        return self._admission.under_way

    def admit(self, exchange: Exchange) -> None:
        """Who asks, and is there room; before the body is read. Raises what refuses it."""
        with exchange.stage("admit"):
            self._admission.admit(exchange)

    def decide(self, exchange: Exchange, raw: bytes) -> None:
        """From the body's bytes to permitted options; calls nobody and never waits."""
        exchange.table, exchange.body_bytes = self._holder.current, len(raw)
        with exchange.stage("data-prep"):
            data_prep.parse(exchange, raw)
        with exchange.stage("governance"):
            governance.inbound(exchange)
        with exchange.stage("intent"):
            self._classifier.classify(exchange, always=self._chooser.policies.reads_intents)
        with exchange.stage("policy"):
            permission = policy.permit(exchange, self._chooser.policies)
        with exchange.stage("choose"):
            exchange.options = self._chooser.choose(exchange, permission)
        exchange.chosen = next((option for option in exchange.options if option.allowed), None)
        if exchange.chosen is None:
            raise nobody(exchange.options)
        self._judge.prepare(exchange)
        exchange.shadow = choose.shadowed(exchange)

    @contextmanager
    def under(self, exchange: Exchange) -> Iterator[None]:
        """Hold what the exchange needs until its last byte, then settle it, whatever its end."""
        self._admission.under_way += 1
        try:
            with self._holder.pinned(exchange.options):
                yield
        finally:
            self._admission.under_way -= 1
            self._settlement.settle(exchange)
            self._chooser.learning.observe(exchange)
            self._shadow.follow(exchange)

    async def send(self, exchange: Exchange) -> Outgoing:
        """An answer that has begun, good enough to go out.

        Raises ``TargetError``, and ``BudgetExceeded`` when a budget does not cover the request.
        """
        with exchange.stage("budget"):
            await self._budgets.open(exchange)
        replayed = self._responses.look(exchange)
        if replayed is not None:
            return replayed
        with exchange.stage("send"):
            answer: Outgoing = await self._sender.send(exchange)
        exchange.usage = answer.usage
        with exchange.stage("confidence"):
            verdict = await self._judge.examine(exchange, answer)
        if not verdict.good:
            with exchange.stage("escalate"):
                verdict = await self._escalate(exchange, verdict)
        return verdict.answer

    async def _escalate(self, exchange: Exchange, verdict: JudgedAnswer) -> JudgedAnswer:
        """Ask better targets as long as the answer is not good enough and one of them is left."""
        while not verdict.good and self._judge.leaves_better(exchange, verdict):
            try:
                better: Outgoing = await self._sender.send(exchange)
            except RouterError:
                verdict.restore(exchange)
                break
            except BaseException:
                await verdict.answer.aclose()
                raise
            await verdict.dismiss(exchange)
            exchange.usage = better.usage
            verdict = await self._judge.examine(exchange, better)
        return verdict

    def outbound(self, exchange: Exchange, answer: Outgoing) -> AsyncIterator[bytes]:
        """The answer's bytes as the client may see them."""
        if exchange.cache == "hit":
            return answer.chunks()
        chunks = answer.chunks()
        if exchange.shadow is not None:
            chunks = shadow.capture(exchange, chunks)
        chunks = governance.outbound(exchange, chunks)
        return self._responses.keep(exchange, answer.status, answer.content_type, chunks)

    def price(self, exchange: Exchange) -> None:
        """Set the cost from the usage that is known now."""
        self._settlement.price(exchange)

    def refuse(self, exchange: Exchange) -> None:
        """Settle a request that never reached a target."""
        self._settlement.settle(exchange)
