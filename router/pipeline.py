"""One request from its headers to its record. ``Pipeline.run`` is the table of contents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps

from adapters.aliases import RoutingTable
from router import prepare
from router.account.settle import Settlement
from router.admit.admission import Admission
from router.audit.requests import RequestRecords
from router.budgets.holds import Budgets
from router.cache.responses import Responses
from router.capture.captures import Captures
from router.choose.choose import Chooser
from router.choose.difficulty_source import DifficultySource
from router.choose.refusals import nobody
from router.config.limits import LimitsConfig
from router.context.stage import ContextStage
from router.delivery import Outgoing
from router.errors import AuditUnavailable, RouterError
from router.exchange import Exchange
from router.govern.governance import Governance
from router.govern.obligations import obligation_checks
from router.govern.safety.stage import Safety
from router.govern.window import CheckedAnswer, Violation
from router.intent.stage import IntentStage
from router.judge.confidence import Judge
from router.policy import stage as policy
from router.policy.instruct import instructed
from router.replicas.table import TableHolder
from router.request import Decision
from router.respond import Client
from router.send import Sender, shadow
from router.stages import Heading
from router.wire.asgi import ClientLeft
from router.wire.formats import FORMATS

_ANSWERS = 3
"""Of one request, as long as they break rules: a target's, its second one, another target's."""
_Run = Callable[["Pipeline", Exchange, Client], Awaitable[None]]


def _measured(run: _Run) -> _Run:
    """Last of all, whatever the end was, metrics and usage learn what a request took."""

    @wraps(run)
    async def measured(pipeline: Pipeline, exchange: Exchange, client: Client) -> None:
        try:
            await run(pipeline, exchange, client)
        finally:
            if not client.only_asks:
                pipeline.settlement.measure(exchange)
                if exchange.decision.shadow is None or exchange.delivery.captured is None:
                    exchange.let_go()

    return measured


@dataclass(frozen=True)
class Pipeline:
    """The request path, wired once per process."""

    limits: LimitsConfig
    admission: Admission
    safety: Safety
    governance: Governance
    intents: IntentStage
    difficulty: DifficultySource
    policies: policy.PolicyStage
    chooser: Chooser
    budgets: Budgets
    responses: Responses
    context: ContextStage
    fitting: prepare.Fitting
    sender: Sender
    judge: Judge
    settlement: Settlement
    shadows: shadow.Shadow
    captures: Captures
    holder: TableHolder
    records: RequestRecords

    @_measured
    async def run(  # noqa: PLR0915 - as long as the path has stages
        self, exchange: Exchange, client: Client
    ) -> None:
        """Every stage, in order. Who only asks is told what was decided, and nobody is called.

        Whatever happens on the way, what had begun is closed, settled and recorded before the last
        byte leaves.
        """
        at, policies = exchange.account.stages.at, self.policies
        try:
            at(Heading.POLICY, "admit")
            self.admission.admit(exchange)
            at(Heading.AUDIT, "begin")
            if not client.only_asks:
                self.records.begin(exchange)
            at(Heading.DATA_PREP, "read")
            raw = await client.read()
            at(Heading.DATA_PREP, "data-prep")
            table = self.holder.current
            request = prepare.parse(exchange.request, raw, self.limits, self._named(table))
            request = self.context.eased(request)
            at(Heading.GOVERNANCE, "governance")
            names = policies.reads_entities
            request = exchange.request = await self.governance.inbound(request, names=names)
            await self.safety.inbound(exchange, only_asks=client.only_asks)
            at(Heading.ROUTING, "intent")
            trusted = policies.trust.intents(request.caller)
            always = policies.reads_intents
            chooses = self.chooser.chooses(request, table)
            intent = await self.intents.classify(
                request, table, chooses=chooses, always=always, trusted=trusted
            )
            wanted = self.context.collections(request, intent)
            weighs = client.only_asks or self.chooser.weighs(request, intent, table)
            hardness = await self.difficulty.judge(request, intent, chooses=chooses, weighs=weighs)
            exchange.decision = Decision(table, intent, wanted, hardness)
            at(Heading.GOVERNANCE, "topics")
            await self.safety.on_route(exchange)
            at(Heading.POLICY, "policy")
            permit = policies.judge(exchange)
            request = exchange.request
            at(Heading.ROUTING, "choose")
            exchange.decision = self.chooser.choose(exchange, permit, is_free=client.is_free)
            at(Heading.GOVERNANCE, "withhold")
            exchange.decision = await self.governance.permitted(request, exchange.decision)
            exchange.delivery.guarded(self.governance.guard(request))
            exchange.decision = self._prepared(exchange, client)
            if client.only_asks:
                await client.finish(exchange)
                return
            pinned = self.holder.pinned(exchange.decision.options)
            with self.admission.place(request), pinned, client.present():
                try:
                    at(Heading.POLICY, "budget")
                    await self.budgets.open(exchange)
                    at(Heading.ROUTING, "cache")
                    answer: Outgoing | None = self.responses.look(exchange)
                    if answer is None:
                        at(Heading.CONTEXT, "context")
                        bodies = await self.context.bodies(exchange)
                        exchange.delivery.sends(self.fitting.bodies(exchange, bodies))
                        at(Heading.ROUTING, "send")
                        answer = await self.sender.send(exchange)
                        at(Heading.ROUTING, "confidence")
                        judged = await self.judge.examine(exchange, answer)
                        at(Heading.ROUTING, "escalate")
                        answer = await self.judge.escalate(exchange, judged, self.sender.send)
                    at(Heading.GOVERNANCE, "governance-out")
                    answer = await self._checked(exchange, answer)
                    taps = (self.captures.tap(exchange), self.responses.tap(exchange, answer))
                    at(Heading.ROUTING, "respond")
                    await client.pass_on(exchange, answer, taps, self.records.first_byte)
                finally:
                    await exchange.delivery.close()
        except ClientLeft:
            exchange.account.leaves()
            return
        except asyncio.CancelledError:
            exchange.account.leaves()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            client.fail(exchange, error)
        finally:
            if not client.only_asks:
                at(Heading.MONITORING, "settle")
                self.settlement.settle(exchange)
                at(Heading.AUDIT, "end")
                self.settlement.record(exchange)
        try:
            at(Heading.AUDIT, "on-record")
            await self.records.last_byte(exchange.account)
        except AuditUnavailable as error:
            client.fail(exchange, error)
        at(Heading.ROUTING, "last-byte")
        await client.finish(exchange)
        self.shadows.follow(exchange)
        self.captures.follow(exchange)

    def _named(self, table: RoutingTable) -> Callable[[str], prepare.Named]:
        def named(model: str) -> prepare.Named:
            return self.chooser.virtuals.of(model, table) or (table.without_pin(model), None)

        return named

    def _prepared(self, exchange: Exchange, client: Client) -> Decision:
        """And how the answer will be judged. Raises ``RouterError`` when nobody may answer."""
        decision = exchange.decision
        exchange.account.tells(policy.headers(decision.applied))
        self.policies.enforce(exchange, only_asks=client.only_asks)
        if decision.first is None:
            raise nobody(decision.options)
        return self.judge.prepare(exchange.request, decision)

    async def _checked(self, exchange: Exchange, answer: Outgoing) -> Outgoing:
        """The answer behind whatever has to let it pass.

        While nothing of it has left, one that breaks a rule is asked for once more, with the
        reason, and then of the next target. Raises ``Violation`` when that does not help.
        """
        for turn in range(_ANSWERS):
            checks = [*obligation_checks(exchange), *self.safety.answer_checks(exchange)]
            if not checks:
                return answer
            booked = exchange.account.stages.within(Heading.GOVERNANCE, "answer-checks")
            checked = CheckedAnswer(answer, FORMATS[exchange.request.endpoint], checks, booked)
            exchange.delivery.opens(checked)
            try:
                with exchange.account.stages.waiting():
                    await checked.begin()
            except Violation as broken:
                await checked.aclose()
                exchange.delivery.violated(give_up=turn > 0)
                if turn == _ANSWERS - 1 or not broken.retryable:
                    raise
                answer = await self._again(exchange, broken)
            else:
                return checked
        raise AssertionError  # the last turn returns or raises

    async def _again(self, exchange: Exchange, broken: Violation) -> Outgoing:
        """Another answer, of who is told what was wrong with the last one. Raises ``broken``."""
        plain = exchange.request
        exchange.delivery.give_up(_too_dear(exchange))
        exchange.request = instructed(plain, [broken.reason])
        try:
            bodies = await self.context.bodies(exchange)
            exchange.delivery.sends(self.fitting.bodies(exchange, bodies))
            answer = await self.sender.send(exchange)
            judged = await self.judge.examine(exchange, answer)
            return await self.judge.escalate(exchange, judged, self.sender.send)
        except RouterError as error:
            raise broken from error
        finally:
            exchange.request = plain


def _too_dear(exchange: Exchange) -> list[str]:
    """Who would take the request above what the client is ready to pay, after what was spent."""
    limit = exchange.request.hints.max_cost_usd
    if limit is None:
        return []
    spent = sum(each.option.cost_usd or 0.0 for each in exchange.delivery.attempts)
    options = exchange.decision.options
    return [each.target for each in options if spent + (each.cost_usd or 0.0) > limit]
