"""PROVE: one replica loads a new version and is asked what it computes, before any other gets it.

Whatever a bad version does to an engine, it does to one only. The replica with the least to do is
taken: the probe costs its running answers a few longer steps.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from adapters.errors import CheckResult, ConnectionBroke, FleetError, LoadFailed, ProbeFailed
from adapters.fleet import AdapterFiles, Fleet, LoadResult, ProbeResult, ProbeRound
from adapters.format.manifest import Manifest
from adapters.publish.loading import Loader, MakeRoom
from adapters.publish.probe import EFFECT, GOLDEN, effect, judge, rounds_wanted, scored
from adapters.registry import Registry, VersionRecord
from adapters.registry.ledger import Ledger

# One replica may die of anything; two that die while they load a version died of it (law 4).
_SUSPICIOUS_DEATHS = 2


class Prover:
    """Finds out whether a version is good. ``min_effect`` is in nats."""

    def __init__(
        self,
        registry: Registry,
        fleet: Fleet,
        ledger: Ledger,
        loader: Loader,
        make_room: MakeRoom,
        min_effect: float,
    ) -> None:
        self._registry = registry
        self._fleet = fleet
        self._ledger = ledger
        self._loader = loader
        self._make_room = make_room
        self._min_effect = min_effect

    async def prove(self, version: VersionRecord, files: AdapterFiles) -> LoadResult:
        """Load on one replica and probe there; says where, and how long the load took.

        Raises ``LoadFailed`` or ``ProbeFailed`` for a bad version, ``FleetError`` when no replica
        could tell.
        """
        failed: dict[str, FleetError] = {}
        deaths = 0
        while True:
            homes = await self._loader.wait_for_homes(version.alias, version.name)
            untried = [replica for replica in homes if replica not in failed]
            if not untried and await self._loader.settle(failed):
                continue
            if not untried:
                raise failed[homes[0]]
            replica = min(untried, key=self._fleet.busy)
            try:
                loaded = await self._loader.load(replica, files, self._make_room)
                await self._probe(replica, version)
                return loaded
            except LoadFailed:
                raise
            except FleetError as error:
                failed[replica] = error
                deaths += await self._died(replica, error)
                if deaths >= _SUSPICIOUS_DEATHS:
                    raise LoadFailed(f"{deaths} replicas died while they loaded it") from error

    async def _died(self, replica: str, error: FleetError) -> bool:
        """Whether a replica died while it was at work on a version."""
        if isinstance(error, ConnectionBroke):
            await self._loader.is_back(replica)
        return replica not in self._fleet.replica_ids()

    async def _probe(self, replica: str, version: VersionRecord) -> None:
        """Raise ``ProbeFailed`` unless the engine computes something, and the right thing."""
        manifest = Manifest.model_validate(version.manifest)
        result = await self._scored(replica, version, manifest)
        checks = judge(result, manifest, self._min_effect)
        await self._ledger.call(
            self._registry.learn,
            version.alias,
            version.digest,
            effect=effect(result),
            checks=_with_probe(version.checks, checks),
        )
        failed = [check for check in checks if not check.ok]
        if failed:
            raise ProbeFailed("; ".join(f"{check.name}: {check.found}" for check in failed))

    async def _scored(
        self, replica: str, version: VersionRecord, manifest: Manifest
    ) -> ProbeResult:
        """As many rounds as a verdict takes."""
        prompts = [golden.prompt for golden in manifest.golden or ()]
        rounds: list[ProbeRound] = []
        while True:
            one = await self._loader.probe(replica, version.name, prompts)
            rounds += one.rounds
            if manifest.golden and not scored(rounds[-1].golden, manifest.golden):
                raise FleetError(f"{replica} did not score the golden prompts", code="not-scored")
            result = dataclasses.replace(one, rounds=tuple(rounds))
            if rounds_wanted(result, self._min_effect) <= len(rounds):
                return result


def _with_probe(
    before: tuple[dict[str, Any], ...], probe: list[CheckResult]
) -> list[dict[str, Any]]:
    kept = [check for check in before if check["name"] not in {EFFECT, GOLDEN}]
    return [*kept, *(check.model_dump(mode="json") for check in probe)]
