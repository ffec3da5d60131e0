"""One request from its bytes to its answer: every stage, in order; the table of contents.

    admit → data-prep → governance in → intent → policy → choose → context + send → confidence
          → governance out → stream → settle → shadow

``policy`` says what the caller may be answered by, and ``choose`` names, filters and ranks the
candidates, so that ``send`` and every retry inside it see only what is permitted (law 5).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

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
from router.request import HIT, Decision, Exchange
from router.send import Sender, shadow
from router.stages import Heading


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
        with exchange.stage(Heading.POLICY, "admit"):
            self._admission.admit(exchange)

    def decide(self, exchange: Exchange, raw: bytes) -> None:
        """From the body's bytes to permitted options; calls nobody and never waits."""
        table, policies = self._holder.current, self._chooser.policies
        exchange.decision = Decision(table)
        with exchange.stage(Heading.DATA_PREP, "data-prep"):
            request = exchange.request = data_prep.parse(exchange.request, raw)
        with exchange.stage(Heading.GOVERNANCE, "governance"):
            governance.inbound(exchange)
        with exchange.stage(Heading.ROUTING, "intent"):
            intent = self._classifier.classify(request, table, always=policies.reads_intents)
            exchange.decision = Decision(table, intent)
        with exchange.stage(Heading.POLICY, "policy"):
            permission = policy.permit(request.caller, intent, policies)
        with exchange.stage(Heading.ROUTING, "choose"):
            decision = exchange.decision = self._chooser.choose(exchange, permission)
            if decision.first is None:
                raise nobody(decision.options)
            decision = self._judge.prepare(request, decision)
            shadow = choose.shadowed(request, decision)
            exchange.decision = decision if shadow is None else replace(decision, shadow=shadow)

    @contextmanager
    def under(self, exchange: Exchange) -> Iterator[None]:
        """Hold what the exchange needs until its last byte, then settle it, whatever its end."""
        self._admission.under_way += 1
        try:
            with self._holder.pinned(exchange.decision.options):
                yield
        finally:
            self._admission.under_way -= 1
            self._settlement.settle(exchange)
            self._shadow.follow(exchange)

    async def send(self, exchange: Exchange) -> Outgoing:
        """An answer that has begun, good enough to go out.

        Raises ``TargetError``, and ``BudgetExceeded`` when a budget does not cover the request.
        """
        with exchange.stage(Heading.POLICY, "budget"):
            await self._budgets.open(exchange)
        with exchange.stage(Heading.ROUTING, "cache"):
            replayed = self._responses.look(exchange)
        if replayed is not None:
            exchange.account.answers(replayed.usage)
            return replayed
        with exchange.stage(Heading.ROUTING, "send"):
            answer: Outgoing = await self._sender.send(exchange)
        exchange.account.answers(answer.usage)
        with exchange.stage(Heading.ROUTING, "confidence"):
            verdict = await self._judge.examine(exchange, answer)
        if not verdict.good:
            with exchange.stage(Heading.ROUTING, "escalate"):
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
            exchange.account.answers(better.usage)
            verdict = await self._judge.examine(exchange, better)
        return verdict

    def outbound(self, exchange: Exchange, answer: Outgoing) -> AsyncIterator[bytes]:
        """The answer's bytes as the client may see them."""
        if exchange.account.cache == HIT:
            return answer.chunks()
        chunks = answer.chunks()
        if exchange.decision.shadow is not None:
            chunks = shadow.capture(exchange, chunks)
        chunks = governance.outbound(exchange, chunks)
        return self._responses.keep(exchange, answer.status, answer.content_type, chunks)

    def price(self, exchange: Exchange) -> None:
        """Set the cost from the usage that is known now."""
        with exchange.stage(Heading.MONITORING, "price"):
            self._settlement.price(exchange)

    def refuse(self, exchange: Exchange) -> None:
        """Settle a request that never reached a target."""
        self._settlement.settle(exchange)
