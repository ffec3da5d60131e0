"""The gate: every version of a route that demands one is tested before its first request (law 12).

Implements ``adapters.publish.gating.Gate``. Whatever a pusher writes into a manifest, only what
stands in ``Reports`` lets a version serve.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.config import LadderSettings
from adapters.errors import AdapterError, FleetError, NotAsked, UnknownAlias
from adapters.flywheel.config import FlywheelConfig
from adapters.gate import suites
from adapters.gate.asking import Answer, Asking, Captured, HeldOut, Messages, Tools, Watching
from adapters.gate.demands import Demands, demands_of
from adapters.gate.examining import Ask, Examiner, stored
from adapters.gate.items import BEFORE, Question, evidence, questions
from adapters.gate.judge import judge
from adapters.gate.patience import Patience
from adapters.gate.report import GateReport, summary, took
from adapters.gate.reports import Reports
from adapters.publish.gating import Finding
from adapters.publish.probe import GOLDEN
from adapters.registry import Plan, Registry, VersionRecord

_ASKED_WHO: Final = 5
"""Questions by which it is found out who answers the intent now."""
NOBODY: Final = "nobody"


@dataclass(frozen=True)
class GateParts:
    """What the gate works with."""

    reports: Reports
    held_out: HeldOut
    captured: Captured
    asking: Asking
    watching: Watching
    registry: Registry
    config: FlywheelConfig
    ladder: LadderSettings
    told: Callable[[str, str, str], object] = lambda _alias, _digest, _verdict: None
    """Hears of each report."""
    consents: Callable[[str], bool] = lambda _tenant: True
    """Whether a tenant's exchanges may be used now."""


class Gatekeeper:
    """One per registry process."""

    def __init__(self, parts: GateParts) -> None:
        self._parts = parts
        self._judging: dict[tuple[str, str], asyncio.Task[Finding]] = {}
        self._unwanted: set[tuple[str, str]] = set()

    def demands(self, alias: str) -> bool:
        """Whether a route of the alias demands a passed gate."""
        return demands_of(self._parts.config, alias) is not None

    async def has_passed(self, alias: str, digest: str) -> bool:
        """Whether the version's newest report says so."""
        return await asyncio.to_thread(self._parts.reports.has_passed, alias, digest)

    def first(self, alias: str, wish: Plan) -> Plan:
        """The first step of the route's ladder, or a more careful wish."""
        found = demands_of(self._parts.config, alias)
        return wish if found is None else found.first(wish, self._parts.ladder)

    def summary(self, alias: str, digest: str) -> dict[str, Any] | None:
        """The newest report about a version without its items; None before there is one. Blocks."""
        found = self._parts.reports.newest(alias, digest)
        return None if found is None else summary(found)

    def report(self, alias: str, digest: str) -> dict[str, Any] | None:
        """The same with its items. Blocks."""
        return self._parts.reports.newest(alias, digest)

    async def judge(self, version: VersionRecord, replica: str) -> Finding:
        """Test a version that a replica holds, and write down what was found.

        The same evidence gives the verdict that it gave before, and nobody is asked again. Raises
        ``FleetError`` when the replica fails, ``NotAsked`` when the current target does, or when
        somebody had it stopped, ``GateOverdue`` when it stands still or takes too long.
        """
        demands = demands_of(self._parts.config, version.alias)
        assert demands is not None
        name = (version.alias, version.digest)
        self._judging[name] = asyncio.ensure_future(self._found(version, replica, demands))
        try:
            return await self._judging[name]
        except asyncio.CancelledError:
            if name not in self._unwanted:
                raise
            raise NotAsked(f"the test of {version.name} was stopped", remedy="") from None
        finally:
            self._judging.pop(name)
            self._unwanted.discard(name)

    def stop(self, alias: str, digest: str) -> None:
        """End the test of a version that nobody may have any more, however long it would take."""
        if task := self._judging.get((alias, digest)):
            self._unwanted.add((alias, digest))
            task.cancel()

    async def _found(self, version: VersionRecord, replica: str, demands: Demands) -> Finding:
        patience = Patience(demands.stall_s, demands.limit_s)
        try:
            async with patience.ends():
                return await self._judge(version, replica, demands, patience)
        except* AdapterError as group:
            raise _first(group) from None

    async def _judge(
        self, version: VersionRecord, replica: str, demands: Demands, patience: Patience
    ) -> Finding:
        parts, dataset = self._parts, version.manifest.get("training_dataset")
        asked = await asyncio.to_thread(
            questions,
            parts.held_out,
            demands.intents,
            dataset,
            demands.max_items,
            parts.consents,
        )
        current = await self._current(version.alias, asked, patience)
        rests_on = evidence(asked, current, {**demands.judged_by, "base": version.base})
        of_version = (version.alias, version.digest)
        known = await asyncio.to_thread(parts.reports.on, *of_version, rests_on)
        if known is not None:
            return Finding(known["passed"], known["reason"], known["result"])
        looks = await asyncio.to_thread(parts.reports.looks, *of_version)
        told_of = (asked, current, looks)
        report = await self._examined(version, replica, demands, *told_of, patience)
        told = {**report.as_dict(), "result": report.result()}
        await asyncio.to_thread(parts.reports.put, *of_version, rests_on, told)
        parts.told(*of_version, report.outcome)
        return Finding(report.outcome == "passed", report.reason, report.result())

    async def _examined(
        self,
        version: VersionRecord,
        replica: str,
        demands: Demands,
        asked: Sequence[Question],
        current: str,
        looks: int,
        patience: Patience,
    ) -> GateReport:
        parts, tokens = self._parts, demands.max_tokens
        examiner = Examiner(parts.asking, parts.watching, demands, patience.moved)

        async def says(messages: Messages, tools: Tools) -> Answer | None:
            said = parts.asking.on_replica(replica, version.name, messages, tokens, tools)
            return await patience.answer_of(f"{version.name} on {replica}", said)

        async def candidate(question: Question) -> Answer | None:
            return await says(question.row.messages, question.row.tools)

        ask = await self._answering(current, replica, demands, asked)

        async def answers(question: Question) -> Answer | None:
            return await patience.answer_of(current, ask(question))

        found = await examiner.examine(asked, candidate, answers)
        dataset = version.manifest.get("training_dataset")
        rows = await asyncio.to_thread(parts.held_out.rows_of, dataset) if dataset else ()
        more = [await examiner.extract(rows, says), suites.parity(version.checks, GOLDEN)]
        # In a thread: over many slices it computes for seconds.
        verdict = await asyncio.to_thread(judge, found.items, demands.after(looks), BEFORE)
        return GateReport(
            alias=version.alias,
            digest=version.digest,
            intents=demands.intents,
            dataset=dataset,
            current_target=current,
            grader=demands.grader,
            verdict=verdict,
            items=found.items,
            suites=(*found.suites, *more),
            looks=looks + (verdict.power >= demands.demand.min_power),
            costs={"candidate": took(found.candidate), "current": took(found.current)},
        )

    async def _current(self, alias: str, asked: Sequence[Question], patience: Patience) -> str:
        """Who answers the alias's intents now: its live version, or whom routers would choose."""
        try:
            row = await asyncio.to_thread(self._parts.registry.alias, alias)
        except UnknownAlias:
            row = None
        if row is not None and row.live is not None:
            live = await asyncio.to_thread(self._parts.registry.version, alias, row.live)
            return f"adapter:{live.name}"
        chosen = []
        for each in asked[:: max(1, len(asked) // _ASKED_WHO)][:_ASKED_WHO]:
            asking = self._parts.asking
            who = asking.chosen(each.row.messages, each.row.tenant, each.row.tools)
            chosen.append(await patience.answer_of("a router that says who answers now", who))
        return Counter(chosen).most_common(1)[0][0] if chosen else NOBODY

    async def _answering(
        self, target: str, replica: str, demands: Demands, asked: Sequence[Question]
    ) -> Ask:
        """How the current target is asked: on the candidate's own replica where that holds it."""
        asking, tokens = self._parts.asking, demands.max_tokens
        kind, _, name = target.partition(":")

        async def beside(question: Question) -> Answer | None:
            held, row = name if kind == "adapter" else None, question.row
            try:
                return await asking.on_replica(replica, held, row.messages, tokens, row.tools)
            except FleetError as error:
                if kind != "adapter":
                    raise
                # A live version may be cold there: whoever holds it answers.
                return await through(question, error)

        async def through(question: Question, cause: Exception | None = None) -> Answer | None:
            try:
                row = question.row
                return await asking.target(target, row.messages, row.tenant, tokens, row.tools)
            except NotAsked as error:
                raise error from cause

        if kind in {"adapter", "base"}:
            return beside
        ids = [each.row.exchange_id for each in asked]
        return stored(await asyncio.to_thread(self._parts.captured.answers, ids, target), through)


def _first(group: BaseExceptionGroup[Any]) -> AdapterError:
    """What ended the work; a replica's failure before others, because another one may be tried."""
    found: list[AdapterError] = []
    for each in group.exceptions:
        found += [_first(each)] if isinstance(each, BaseExceptionGroup) else [each]
    return next((each for each in found if isinstance(each, FleetError)), found[0])
