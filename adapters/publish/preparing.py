"""PREPARE: proven on one replica, past the gate where a route demands one, then on the others.

No request can reach the version meanwhile. Whoever stops in the middle finds it in the state that
it had, and begins that state again: what the gate found is on its own record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.errors import (
    CheckResult,
    FleetError,
    GateOverdue,
    GateRefused,
    LoadFailed,
    Withdrawn,
)
from adapters.fleet import AdapterFiles, LoadResult
from adapters.jobs.locks import KeyedLocks
from adapters.publish.gating import Gate, cleared, unfinished
from adapters.publish.loading import Loader
from adapters.publish.placement import Heat
from adapters.publish.proving import Prover
from adapters.publish.retire import Retirer
from adapters.registry import VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import State

_TRIES = 3
"""Replicas that may fail while they answer for the gate."""


class Preparer:
    """Makes stored versions ready. ``names``: the locks under which versions enter engines."""

    def __init__(
        self,
        ledger: Ledger,
        prover: Prover,
        loader: Loader,
        retirer: Retirer,
        names: KeyedLocks,
        heat: Heat,
        gate: Callable[[], Gate],
    ) -> None:
        self._ledger = ledger
        self._prover = prover
        self._loader = loader
        self._retirer = retirer
        self._names = names
        self._heat = heat
        self._gate = gate

    async def prepare(self, version: VersionRecord, files: AdapterFiles, by: str) -> VersionRecord:
        """Load, probe, judge, and load on the others; the version as it is then.

        Raises ``FleetError``, ``ProbeFailed``, ``GateRefused``, ``NotAsked`` (``GateOverdue`` when
        the test is to be made again later), and ``Withdrawn``
        when somebody retires it meanwhile.
        """
        of_version = (version.alias, version.digest)
        async with self._names.hold(version.name):
            with self._loader.coming(version.name, lambda: self._gate().stop(*of_version)):
                return await self._ready(version, files, by)

    async def _ready(self, version: VersionRecord, files: AdapterFiles, by: str) -> VersionRecord:
        version = await self._begun(version, by)
        # From now on, not only once it is called: who makes room must not begin with it.
        self._heat.touch(version.name)
        first = await self._proven(version, files, by)
        slowest = await self._loader.load_all(files, self._retirer.make_room)
        if version.state is State.PREPARED:
            return version
        return await self._ledger.move(
            version, State.PREPARED, by=by, load_seconds=max(first.seconds, slowest)
        )

    async def to_gate(self, version: VersionRecord, by: str) -> VersionRecord:
        """A stored version is the gate's from now on, where one is demanded that it has not passed.

        Whoever pushed it is told so, although nothing has been loaded yet.
        """
        if version.state is not State.STORED:
            return version
        if await cleared(self._gate(), version.alias, version.digest):
            return version
        try:
            return await self._ledger.move(version, State.GATING, by=by, error="")
        except Withdrawn:
            return await self._ledger.version(version.alias, version.digest)

    async def _begun(self, version: VersionRecord, by: str) -> VersionRecord:
        version = await self._ledger.still(version)
        ok = await cleared(self._gate(), version.alias, version.digest)
        if version.state in {State.PREPARED, State.GATING, State.PREPARING}:
            if ok or version.state is not State.PREPARING:
                return version
            return await self._ledger.move(version, State.GATING, by=by, error="")
        if version.state is State.STORED and not ok:
            return await self._ledger.move(version, State.GATING, by=by, error="")
        version = await self._ledger.move(version, State.PREPARING, by=by, error="")
        return version if ok else await self._ledger.move(version, State.GATING, by=by)

    async def _proven(self, version: VersionRecord, files: AdapterFiles, by: str) -> LoadResult:
        """On one replica: the engine computes the right thing, and the gate lets it pass."""
        tries = 0
        while True:
            held = await self._prover.prove(version, files)
            if version.state is not State.GATING:
                return held
            try:
                await self._judged(version, held.replica_id, by)
            except LoadFailed:
                raise
            except FleetError:
                tries += 1
                if tries >= _TRIES:
                    raise
            else:
                return held

    async def _judged(self, version: VersionRecord, replica: str, by: str) -> None:
        gate, ledger = self._gate(), self._ledger
        if await cleared(gate, version.alias, version.digest):
            return
        self._loader.require_wanted(version.name)
        try:
            finding = await gate.judge(version, replica)
        except GateOverdue as error:
            await self._note(version, unfinished(str(error)))
            raise
        check = finding.check
        await self._note(version, check, gate=finding.result)
        if not finding.passed:
            raise GateRefused(finding.reason, check)
        ledger.report("gate-passed", version, reason=finding.reason, by=by)

    async def _note(self, version: VersionRecord, check: CheckResult, **evaluation: object) -> None:
        """Write a check down instead of an earlier one of its name, and what was evaluated."""
        ledger, of_version = self._ledger, (version.alias, version.digest)
        now = await ledger.version(*of_version)
        found = {**(now.manifest.get("evaluation") or {}), **evaluation}
        checks = [
            *(each for each in now.checks if each["name"] != check.name),
            check.model_dump(mode="json"),
        ]
        facts: dict[str, Any] = {"checks": checks}
        if evaluation:
            facts["manifest"] = {**now.manifest, "evaluation": found}
        await ledger.call(ledger.registry.learn, *of_version, **facts)
