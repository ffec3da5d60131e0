"""What was learned from a person goes with the person: versions, trainings, datasets.

Two rooms, in this order: versions first, while the datasets still tell whose data is in them; then
the datasets, which are rebuilt without the person. Between the two, retraining is queued; it waits
until its dataset is rebuilt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from adapters.dataset.datasets import Datasets
from adapters.distill.distillations import (
    Distillations,
    TooManyOpen,
    UnknownDistillation,
    Wish,
)
from adapters.distill.lineage import Lineage
from adapters.distill.loop import Loop
from adapters.publish.forgetting import Forgetter
from adapters.registry import Registry, VersionRecord
from adapters.registry.lifecycle import CALLABLE

BY: Final = "erasure"
_WHY: Final = "it was trained on data of a person who was erased"

Hashed = Callable[[str], str]
"""What stands for a person in all that is kept."""


class TrainedVersions:
    """Versions that were trained on a person's data. Implements ``Erasable``."""

    counted_as = "adapters"

    def __init__(
        self,
        datasets: Datasets,
        distillations: Distillations,
        lineage: Lineage,
        loop: Loop,
        registry: Registry,
        forgetter: Forgetter,
        hashed: Hashed,
    ) -> None:
        self._datasets = datasets
        self._distillations = distillations
        self._lineage = lineage
        self._loop = loop
        self._registry = registry
        self._forgetter = forgetter
        self._hashed = hashed

    async def found(self, subject: str) -> int:
        """How many there are."""
        return len(await self._tainted(await self._touched(subject)))

    async def erase(self, subject: str) -> int:
        """Retire them everywhere, delete their files, queue their retraining; how many there were.

        Raises ``Conflict`` or ``FleetError`` while one of them is not gone yet.
        """
        touched = await self._touched(subject)
        await self._loop.drop(touched)
        tainted = await self._tainted(touched)
        for version in tainted:
            await self._retrain(version, touched)
            await self._forgetter.forget(version, BY, _WHY)
        return len(tainted)

    async def _touched(self, subject: str) -> list[str]:
        name = self._hashed(subject)
        return await asyncio.to_thread(self._datasets.touched, [name])

    async def _tainted(self, datasets: Collection[str]) -> list[VersionRecord]:
        """Those that still serve or have files, the newest of each alias first."""
        if not datasets:
            return []
        origins = await asyncio.to_thread(self._lineage.trained_on, datasets)
        distilled = {(origin.alias, origin.digest) for origin in origins}
        versions = await asyncio.to_thread(self._registry.versions)
        return [
            version
            for version in reversed(versions)
            if (
                (version.alias, version.digest) in distilled
                or version.manifest.get("training_dataset") in datasets
            )
            and await self._forgetter.exists(version)
        ]

    async def _retrain(self, version: VersionRecord, datasets: Collection[str]) -> None:
        """Queue one distillation for an alias that loses a version that serves."""
        if version.state not in CALLABLE:
            return
        wish = await asyncio.to_thread(self._wish, version)

        def queue() -> None:
            waiting = self._distillations.under_way()
            if all(each.alias != wish.alias or each.dataset not in datasets for each in waiting):
                self._distillations.ask(wish)

        try:
            await asyncio.to_thread(queue)
        except TooManyOpen:
            # The person goes whatever waits; a trigger, or somebody, asks again.
            return

    def _wish(self, version: VersionRecord) -> Wish:
        origin = self._lineage.of(version.alias, version.digest)
        if origin is None:
            return Wish(
                alias=version.alias,
                intent=next(iter(version.manifest.get("intents") or ()), ""),
                dataset=str(version.manifest.get("training_dataset")),
                cause="erasure",
                author=BY,
            )
        try:
            settings = self._distillations.find(origin.distillation).settings
        except UnknownDistillation:
            settings = {}
        return Wish(origin.alias, origin.intent, origin.dataset, settings, "erasure", BY)


class ErasedDatasets:
    """Frozen datasets. Implements ``Erasable``."""

    counted_as = "datasets"

    def __init__(self, datasets: Datasets, loop: Loop, hashed: Hashed) -> None:
        self._datasets = datasets
        self._loop = loop
        self._hashed = hashed

    async def found(self, subject: str) -> int:
        """How many have a row of this person's."""
        return len(await asyncio.to_thread(self._datasets.touched, [self._hashed(subject)]))

    async def erase(self, subject: str) -> int:
        """Rebuild each without the person, and delete its files; how many there were."""
        name = self._hashed(subject)
        touched = await asyncio.to_thread(self._datasets.touched, [name])
        rebuilt = await asyncio.to_thread(self._datasets.without, [name])
        # What began to train on one of them since the room before looked.
        await self._loop.drop({*touched, *(each.digest for each in rebuilt)})
        self._loop.wake()
        return len(rebuilt)
