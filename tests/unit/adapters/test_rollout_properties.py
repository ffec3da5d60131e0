"""Whatever happens to an alias, in whatever order: what it points at is there, nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.aliases import engine_name
from adapters.errors import AdapterError, FleetError
from adapters.registry.lifecycle import CALLABLE, State
from tests.fakes.adapter_path import AdapterPath, Fate, Killed
from tests.fakes.fleet import FakeFleet

aliases = st.sampled_from(["returns", "extract"])
seeds = st.integers(1, 3)
stages = st.sampled_from(["live", "live", "canary", "shadow"])
replicas = st.sampled_from(["r0", "r1"])
STAGES = ("promote", "canary", "shadow")
MOVES = ("push", "push", "promote", "canary", "shadow", "rollback", "retire", "collect", "converge")
moves = st.tuples(st.sampled_from(MOVES), aliases, seeds)


class AdapterLife(RuleBasedStateMachine):
    """Operators, engines and processes do as they please; the invariants hold after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="graftwork-life-"))
        self.runner = asyncio.Runner()
        self.path = AdapterPath(self.root, FakeFleet("r0", "r1"), keep_s=0.0)
        self.epoch = 0

    def teardown(self) -> None:
        """Close the loop's things in the loop."""
        self.runner.run(self.path.aclose())
        self.runner.close()
        for directory in self.root.rglob("*"):
            if directory.is_dir():
                directory.chmod(0o755)
        shutil.rmtree(self.root)

    def do(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """One step; whatever it answers, wait for all that follows from it, and reconcile."""

        async def step() -> None:
            with contextlib.suppress(AdapterError):
                await work()
            await self.path.idle()
            await self.path.reconciler.converge()
            await self.path.idle()

        self.runner.run(step())

    @rule(alias=aliases, seed=seeds, stage=stages, busy=st.booleans())
    def push(self, alias: str, seed: int, stage: str, busy: bool) -> None:
        """A good version."""
        self.a_long_answer_begins(alias, busy)
        self.do(lambda: self.path.push(alias, seed, stage=stage, percent=10.0))

    @rule(alias=aliases, seed=st.integers(4, 6))
    def push_a_bad_one(self, alias: str, seed: int) -> None:
        """A version that does nothing in the engine."""
        self.path.fleet.delta = 0.0
        self.do(lambda: self.path.push(alias, seed))
        self.path.fleet.delta = 0.5

    @rule(alias=aliases, seed=seeds, replica=replicas)
    def push_while_a_replica_fails(self, alias: str, seed: int, replica: str) -> None:
        """A load that cannot succeed everywhere."""

        def fails(what: str, where: str | None, _: str) -> None:
            if (what, where) == ("load", replica):
                raise FleetError("no")

        async def work() -> None:
            self.path.fleet.rules.append(fails)
            try:
                await self.path.push(alias, seed)
            finally:
                self.path.fleet.rules.clear()

        self.do(work)

    @rule(alias=aliases, seed=seeds, at=st.integers(1, 45))
    def push_and_die(self, alias: str, seed: int, at: int) -> None:
        """The process dies at some step of a publish and comes back."""

        async def work() -> None:
            fate = Fate(dies_at=at)
            self.path.registry.fate = self.path.fate = fate
            self.path.fleet.rules.append(fate.step)
            with contextlib.suppress(Killed):
                await self.path.push(alias, seed)
            self.path.fate = None
            self.path.fleet.rules.clear()
            await self.path.restart()

        self.do(work)

    @rule(alias=aliases, seed=seeds, at=st.integers(1, 25), stage=st.sampled_from(STAGES))
    def move_and_die(self, alias: str, seed: int, at: int, stage: str) -> None:
        """The process dies while a known version is moved: a share is never all of the traffic."""
        live = self.live(alias)

        async def work() -> None:
            fate = Fate(dies_at=at)
            self.path.registry.fate = self.path.fate = fate
            self.path.fleet.rules.append(fate.step)
            with contextlib.suppress(Killed, AdapterError):
                await self.move(stage, alias, seed)
            self.path.fate = None
            self.path.fleet.rules.clear()
            await self.path.restart()

        self.do(work)
        if stage != "promote":
            assert self.live(alias) == live

    @rule(several=st.lists(moves, min_size=2, max_size=5))
    def at_once(self, several: list[tuple[str, str, int]]) -> None:
        """Whoever comes first: nothing breaks, so nothing fails."""
        failed = self.failed()

        async def work() -> None:
            work = (self.move(*each) for each in several)
            for ended in await asyncio.gather(*work, return_exceptions=True):
                if ended is not None and not isinstance(ended, AdapterError):
                    raise ended

        self.do(work)
        assert self.failed() <= failed

    async def move(self, what: str, alias: str, seed: int) -> None:
        """One thing that may be asked for."""
        rollout, digest = self.path.rollout, self.path.digest(seed)
        if what == "push":
            await rollout.push(alias, self.path.adapter(seed), wait=True)
        elif what == "promote":
            await rollout.promote(alias, digest)
        elif what == "canary":
            await rollout.canary(alias, digest, 10.0)
        elif what == "shadow":
            await rollout.shadow(alias, digest, 10.0)
        elif what == "rollback":
            await rollout.rollback(alias)
        elif what == "retire":
            await rollout.retire(alias, digest)
        elif what == "collect":
            await rollout.collect()
        else:
            await self.path.reconciler.converge()

    def live(self, alias: str) -> str | None:
        """The digest of what the alias points at."""
        return {row.name: row.live for row in self.path.registry.aliases()}.get(alias)

    def failed(self) -> set[str]:
        """Names of versions that failed."""
        return {version.name for version in self.path.registry.versions(None, {State.FAILED})}

    @rule(alias=aliases, seed=seeds, busy=st.booleans())
    def promote(self, alias: str, seed: int, busy: bool) -> None:
        """Any version that exists."""
        self.a_long_answer_begins(alias, busy)
        self.do(lambda: self.path.rollout.promote(alias, self.path.digest(seed)))

    @rule(alias=aliases, seed=seeds, share=st.sampled_from([1.0, 50.0]))
    def canary(self, alias: str, seed: int, share: float) -> None:
        """Any version that exists."""
        self.do(lambda: self.path.rollout.canary(alias, self.path.digest(seed), share))

    @rule(alias=aliases, reason=st.sampled_from([None, None, "bad answers"]))
    def rollback(self, alias: str, reason: str | None) -> None:
        """Sometimes with a ban."""
        self.do(lambda: self.path.rollout.rollback(alias, quarantine=reason))

    @rule(alias=aliases, seed=st.one_of(st.none(), seeds), busy=st.booleans())
    def retire(self, alias: str, seed: int | None, busy: bool) -> None:
        """One version, or all."""
        self.a_long_answer_begins(alias, busy)
        digest = None if seed is None else self.path.digest(seed)
        self.do(lambda: self.path.rollout.retire(alias, digest))

    @rule(replica=replicas)
    def restart_a_replica(self, replica: str) -> None:
        """It forgets everything."""
        self.path.fleet.die(replica)
        self.path.fleet.join(replica)
        self.do(self.path.reconciler.converge)

    @rule()
    def restart_the_registry(self) -> None:
        """A clean stop and a start."""
        self.do(self.path.restart)

    def a_long_answer_begins(self, alias: str, begins: bool) -> None:
        """On whatever is live now; it lasts until all answers end."""
        live = self.live(alias)
        if begins and live is not None:
            self.path.fleet.requests[engine_name(alias, live)] += 1

    @rule()
    def all_answers_end(self) -> None:
        """Nothing is in flight any more."""
        self.path.fleet.requests.clear()
        self.do(self.path.reconciler.converge)

    @invariant()
    def live_versions_are_everywhere(self) -> None:
        """An alias never points at a version that a live replica lacks."""
        for row in self.path.registry.aliases():
            if row.live is not None:
                assert self.path.registry.version(row.name, row.live).state is State.LIVE
                name = engine_name(row.name, row.live)
                assert all(name in e.resident for e in self.path.fleet.engines.values())

    @invariant()
    def nothing_else_is_resident(self) -> None:
        """Undone publishes and retired versions leave nothing behind, but for who still answers."""
        wanted = {v.name for v in self.path.registry.versions(None, CALLABLE)}
        busy = {name for name, count in self.path.fleet.requests.items() if count}
        for engine in self.path.fleet.engines.values():
            assert wanted <= engine.resident <= wanted | busy

    @invariant()
    def nobody_loses_a_version_in_use(self) -> None:
        """Law 1."""
        assert self.path.fleet.unloaded_in_use == []

    @invariant()
    def the_epoch_only_grows(self) -> None:
        """And routers have the newest."""
        epoch = self.path.registry.epoch()
        assert epoch >= self.epoch
        self.epoch = epoch
        assert not self.path.tables or self.path.table.epoch == epoch

    @invariant()
    def only_draining_rests_unfinished(self) -> None:
        """No version is forgotten half-way."""
        busy = {name for name, count in self.path.fleet.requests.items() if count}
        for version in self.path.registry.snapshot().versions:
            assert version.state in CALLABLE or (
                version.state is State.DRAINING and version.name in busy
            )


TestAdapterLife = AdapterLife.TestCase
TestAdapterLife.settings = settings(
    max_examples=14,
    stateful_step_count=12,
    suppress_health_check=[HealthCheck.too_slow],
)
