"""Distillations as the registry's process does them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adapters.admin import distillations, lineage
from adapters.dataset.datasets import Datasets
from adapters.distill.asking import Asking
from adapters.distill.directories import JobDirectories
from adapters.distill.distillations import MAX_OPEN, Distillation, Distillations
from adapters.distill.erasing import ErasedDatasets, Hashed, TrainedVersions
from adapters.distill.job import Trainer
from adapters.distill.lineage import Lineage
from adapters.distill.loop import Loop, LoopParts
from adapters.distill.origins import Origins
from adapters.distill.ports import GateReports, TrainingBase, TrainingData
from adapters.flywheel.database import FlywheelStore
from adapters.jobs.periodic import After, Every, Periodic, PeriodicJobs
from adapters.publish.forgetting import Forgetter
from adapters.records.erasable import Erasable
from router.account.gauges import Reading
from router.wire.table import Bound, bound
from serving.config.settings import DISTILLATIONS, Settings
from serving.registry.adapters import Adapters

_EVERY = Every(30.0, at_once=True, limit_s=600.0, max_retry_s=10.0)
_NOT_YET = After(0.5)


class ServedBase:
    """The base of the deploy file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def base(self) -> TrainingBase:
        """Where its files are; a Hugging Face id is looked up in the cache. May block."""
        from serving.engine.model import base_id, model_directory

        settings = self._settings
        directory = Path(model_directory(settings.base)).absolute()
        return TrainingBase(directory, base_id(settings.base), settings.engine.max_lora_rank)


class Distilling:
    """The loop and its resource.

    Attributes:
        distillations: all of them.
        asking: completes what is asked.
        lineage: what versions were made of, as it was written down.
        origins: the same as it is shown.
        directories: where trainings lie.
    """

    def __init__(
        self,
        settings: Settings,
        store: FlywheelStore,
        adapters: Adapters,
        data: TrainingData,
        gates: GateReports,
        trainer: Trainer,
        learners: Callable[[str], str | None],
    ) -> None:
        """``learners``: the alias that an intent got when it was made of a cluster."""
        self._adapters = adapters
        self._job: Periodic | None = None
        self.distillations = Distillations(store, adapters.events)
        self.asking = Asking(settings.flywheel, data, learners, adapters.means_otherwise)
        self.lineage = Lineage(store)
        self.origins = Origins(adapters.registry, self.lineage, data, gates)
        self.directories = JobDirectories(settings.state_dir.absolute() / DISTILLATIONS)
        self.loop = Loop(
            LoopParts(
                self.distillations,
                self.lineage,
                self.directories,
                trainer,
                data,
                ServedBase(settings),
                gates,
                adapters.rollout,
                adapters.registry,
                settings.flywheel,
            ),
            self.wake,
        )

    def resources(self) -> list[Bound]:
        """Rows of the admin plane."""
        desk = distillations.DistillDesk(
            self.distillations, self.asking, self.loop, self.directories
        )
        return [
            *bound(distillations.RESOURCES, desk),
            *bound(lineage.RESOURCES, self.origins),
        ]

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Background work."""
        self._job = jobs.add("distill", self._tick, _EVERY)

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        return {
            "graftwork_distillations_open": (
                f"Distillations that have not ended, at the last look; {MAX_OPEN} at most.",
                lambda: self.loop.under_way,
            )
        }

    def wake(self) -> None:
        """Have the loop look soon."""
        if self._job is not None:
            self._job.wake()

    async def cancel(self, identity: str, by: str) -> Distillation:
        """Stop one. Raises ``Ended``, ``UnknownDistillation``."""
        return await self.loop.cancel(identity, by)

    def rooms(self, datasets: Datasets, hashed: Hashed) -> list[Erasable]:
        """What was learned from persons; versions go before the datasets that tell whose."""
        adapters = self._adapters
        return [
            TrainedVersions(
                datasets,
                self.distillations,
                self.lineage,
                self.loop,
                adapters.registry,
                Forgetter(adapters.rollout, adapters.store),
                hashed,
            ),
            ErasedDatasets(datasets, self.loop, hashed),
        ]

    async def _tick(self) -> After:
        # Not while a predecessor serves: whoever writes first is the one that goes on.
        if self._adapters.registry.writing.writer is None:
            return _NOT_YET
        return await self.loop.tick()
