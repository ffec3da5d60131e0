"""From a distillation and its dataset to what a trainer is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.dataset.frozen import Row
from adapters.dataset.groups import grouped
from adapters.distill import job
from adapters.distill.distillations import Distillation
from adapters.distill.ports import NothingToTrain, TrainingBase
from adapters.distill.settings import TrainingSettings
from adapters.flywheel.config import TrainerConfig

AUTHOR: Final = "distill:"


def brief(
    row: Distillation,
    rows: Sequence[Row],
    base: TrainingBase,
    parent: str | None,
    trainer: TrainerConfig,
) -> tuple[job.Job, list[job.Example]]:
    """The job and its examples: never a row that is held out. Raises ``NothingToTrain``."""
    kept = [each for each in rows if each.split == "train"]
    # What the dataset keeps on one side of its split, early stopping keeps on one side as well.
    examples = [
        job.Example.of(each, str(group)) for each, group in zip(kept, grouped(kept), strict=True)
    ]
    if not examples:
        raise NothingToTrain(f"the dataset {row.dataset[:12]} has no rows to train on")
    # What is only mixed in against forgetting is not what the adapter is for.
    of_rows = {each.intent for each in rows if each.intent and not each.replay}
    made = job.Job(
        id=row.id,
        alias=row.alias,
        intents=(row.intent,) if row.intent else tuple(sorted(of_rows)),
        base=base.directory,
        base_id=base.id,
        dataset=row.dataset,
        teachers=tuple(sorted({each.teacher for each in rows if each.teacher})),
        parent=parent,
        settings=TrainingSettings.model_validate(dict(row.settings)),
        max_rank=base.max_rank,
        limits=job.Limits.of(trainer),
        signing_key=trainer.signing_key,
        author=f"{AUTHOR}{row.id}",
    )
    return made, examples
