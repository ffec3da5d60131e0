"""Automatic promotion and rollback: shadow → canary → live, and back, on evidence.

Each look compares what a version did since it entered its stage with what the live version did in
the same time. A version that just went live is watched against the one before it. Verdicts are in
``promotion``; this module keeps the beginnings and carries verdicts out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from adapters.aliases import engine_name
from adapters.config import LadderSettings
from adapters.errors import AdapterError
from adapters.events import EventBus
from adapters.ladder.evidence import Evidence
from adapters.ladder.promotion import Judgement, LadderVerdict, is_worse, judge_canary, judge_shadow
from adapters.publish.rollout import Rollout
from adapters.registry import AliasRecord, CandidateRecord, Registry, Snapshot, Stage
from adapters.registry.lifecycle import State
from adapters.traffic import VersionTraffic

_BY = "ladder"
_STEPS: tuple[Stage, ...] = ("shadow", "canary", "live")
_ROLLBACKS = frozenset({"rollback"})


@dataclass(frozen=True)
class _Beginning:
    """What had been counted when a stage began."""

    candidate: VersionTraffic
    live: VersionTraffic


@dataclass(frozen=True)
class _Watch:
    """A version that just went live."""

    live: str
    previous: str
    since: float
    beginning: VersionTraffic


class Ladder:
    """One per registry process. Beginnings are kept in memory: a restart starts stages anew.

    Attributes:
        routes: steps by the alias that climbs them by itself, once it is on one of them; others
            climb as the settings say.
    """

    def __init__(
        self,
        registry: Registry,
        rollout: Rollout,
        evidence: Evidence,
        settings: LadderSettings,
        events: EventBus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._rollout = rollout
        self._evidence = evidence
        self._settings = settings
        self._events = events
        self._clock = clock
        self.routes: Mapping[str, Sequence[Stage]] = {}
        self._beginnings: dict[tuple[str, str, str, int], _Beginning] = {}
        self._live: dict[str, str | None] | None = None
        self._watches: dict[str, _Watch] = {}
        self._failing: dict[tuple[str, str], str] = {}
        """What was told of moves that fail at each look, by alias and digest."""

    async def tick(self) -> None:
        """One look at every candidate and every version that just went live."""
        snapshot = await asyncio.to_thread(self._registry.snapshot)
        self._evidence.keep(version.name for version in snapshot.versions)
        there = {(version.alias, version.digest) for version in snapshot.versions}
        self._failing = {k: v for k, v in self._failing.items() if k in there}
        aliases = {alias.name: alias for alias in snapshot.aliases}
        await self._notice_flips(snapshot)
        for candidate in snapshot.candidates:
            await self._look(candidate, aliases[candidate.alias])
        present = {_key(candidate) for candidate in snapshot.candidates}
        self._beginnings = {k: v for k, v in self._beginnings.items() if k in present}
        for alias in list(self._watches):
            await self._look_back(alias)

    # Candidates

    async def _look(self, candidate: CandidateRecord, alias: AliasRecord) -> None:
        name = engine_name(candidate.alias, candidate.digest)
        live = self._evidence.of(engine_name(alias.name, alias.live)) if alias.live else None
        now = _Beginning(self._evidence.of(name), live or VersionTraffic())
        began = self._beginnings.setdefault(_key(candidate), now)
        ours = now.candidate.since(began.candidate)
        if candidate.stage == "shadow":
            found = judge_shadow(ours, self._settings)
        else:
            theirs = None if live is None else now.live.since(began.live)
            found = judge_canary(ours, theirs, self._settings)
        await self._carry_out(candidate, found)

    async def _carry_out(self, candidate: CandidateRecord, found: Judgement) -> None:
        alias, digest = candidate.alias, candidate.digest
        if found.verdict is LadderVerdict.ROLL_BACK and self._settings.auto_rollback:
            kind, move = "candidate-withdrawn", self._take_back(candidate)
        elif found.verdict is LadderVerdict.PROMOTE and (step := self._next(candidate)):
            kind, move = "candidate-promoted", self._climb(candidate, step)
        else:
            return
        if await self._try(move, alias, digest):
            self._say(kind, alias, digest, found.reason, candidate.stage)

    async def _climb(self, candidate: CandidateRecord, step: Stage) -> bool:
        alias, digest, seen = candidate.alias, candidate.digest, State(candidate.stage)
        if step == "canary":
            percent = self._settings.canary_percent
            await self._rollout.canary(alias, digest, percent, by=_BY, at=seen)
        else:
            await self._rollout.promote(alias, digest, by=_BY, at=seen)
        return True

    async def _take_back(self, candidate: CandidateRecord) -> bool:
        """Retire a candidate, unless somebody moved it since it was judged."""
        left = await self._rollout.retirer.withdraw(
            candidate.alias,
            [candidate.digest],
            {State(candidate.stage)},
            by=_BY,
            forget=True,
        )
        return bool(left)

    def _next(self, candidate: CandidateRecord) -> Stage | None:
        """Where a candidate goes that did well; None: it waits for a person."""
        steps = self.routes.get(candidate.alias, ())
        if candidate.stage not in steps:  # somebody put it there by hand
            steps = _STEPS if self._settings.auto_promote else ()
        after = _STEPS[_STEPS.index(candidate.stage) + 1 :]
        return next((step for step in after if step in steps), None)

    # Versions that just went live

    async def _notice_flips(self, snapshot: Snapshot) -> None:
        live = {alias.name: alias.live for alias in snapshot.aliases}
        before, self._live = self._live, live
        if before is None:
            return
        for alias in snapshot.aliases:
            if alias.live == before.get(alias.name):
                continue
            self._watches.pop(alias.name, None)
            if alias.live and alias.previous and not await self._was_rollback(alias.name):
                beginning = self._evidence.of(engine_name(alias.name, alias.live))
                self._watches[alias.name] = _Watch(
                    alias.live, alias.previous, self._clock(), beginning
                )

    async def _was_rollback(self, alias: str) -> bool:
        """Whether the alias was flipped back on purpose: that is not to be undone."""
        lines = await asyncio.to_thread(self._registry.history, alias, 20)
        flips = [line.action for line in lines if line.action in {"commit", "promote", "rollback"}]
        return bool(flips) and flips[-1] in _ROLLBACKS

    async def _look_back(self, alias: str) -> None:
        watch = self._watches[alias]
        if self._clock() - watch.since > self._settings.watch_live_s:
            del self._watches[alias]
            return
        new = self._evidence.of(engine_name(alias, watch.live)).since(watch.beginning)
        old = self._evidence.of(engine_name(alias, watch.previous))
        worse = is_worse(new, old, self._settings)
        if worse is None or not self._settings.auto_rollback:
            return
        # What fails is tried again at the next look: the bad version still answers everybody.
        # Somebody who moved the alias meanwhile is noticed there first, which ends the watch.
        if await self._try(self._roll_back(watch, worse, alias), alias, watch.live):
            self._watches.pop(alias, None)
            self._say("rolled-back", alias, watch.live, worse, "live")

    async def _roll_back(self, watch: _Watch, why: str, alias: str) -> bool:
        await self._rollout.rollback(alias, by=_BY, quarantine=why, leaving=watch.live)
        return True

    async def _try(self, move: Awaitable[bool], alias: str, digest: str) -> bool:
        """Whether a move was made; the next look tries again what failed, and tells of it once."""
        of_version = (alias, digest)
        try:
            made = await move
        except AdapterError as error:
            if self._failing.get(of_version) != str(error):
                self._failing[of_version] = str(error)
                self._events.emit("ladder-failed", alias, digest, error=str(error))
            return False
        self._failing.pop(of_version, None)
        return made

    def _say(self, kind: str, alias: str, digest: str, reason: str, stage: str) -> None:
        self._events.emit(kind, alias, digest, reason=reason, stage=stage)


def _key(candidate: CandidateRecord) -> tuple[str, str, str, int]:
    """Identifies one stay in one stage; a change of the share begins anew."""
    return candidate.alias, candidate.digest, candidate.stage, candidate.epoch
