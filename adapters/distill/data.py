"""Frozen datasets as trainings need them."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.dataset.datasets import Datasets
from adapters.dataset.errors import DatasetError, ErasedDataset
from adapters.dataset.frozen import Dataset, Row
from adapters.dataset.selection import Selection
from adapters.distill.ports import NothingToTrain


class FrozenData:
    """Implements ``adapters.distill.ports.TrainingData``."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets

    def known(self, digest: str) -> Dataset | None:
        """The one with this digest, or with this beginning of it; None without it."""
        return self._datasets.find(digest)

    def freeze_intent(self, intent: str) -> Dataset:
        """All gold of an intent as a dataset. Raises ``NothingToTrain``."""
        try:
            return self._datasets.freeze(Selection(intent, intents=(intent,)))
        except DatasetError as error:
            raise NothingToTrain(f"the intent {intent!r} cannot be frozen: {error}") from error

    def rows(self, digest: str) -> Sequence[Row]:
        """Both splits. Raises ``NothingToTrain`` when it was erased."""
        try:
            return self._datasets.rows(digest)
        except ErasedDataset as error:
            raise NothingToTrain(str(error)) from error
        except DatasetError as error:
            raise NothingToTrain(f"the dataset {digest[:12]} cannot be read: {error}") from error
