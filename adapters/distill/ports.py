"""What the loop needs of others: data, the base, and what a gate found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from adapters.dataset.frozen import Dataset, Row


class NothingToTrain(Exception):
    """There is no data, or too little; says what is missing."""


class TrainingData(Protocol):
    """Frozen datasets. Methods block."""

    def known(self, digest: str) -> Dataset | None:
        """The one with this digest, or with this beginning of it; None without it."""
        ...

    def freeze_intent(self, intent: str) -> Dataset:
        """All gold of an intent as a dataset. Raises ``NothingToTrain``."""
        ...

    def rows(self, digest: str) -> Sequence[Row]:
        """Both splits. Raises ``NothingToTrain`` when it was erased."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingBase:
    """The served base as a trainer needs it."""

    directory: Path
    id: str
    max_rank: int


class Bases(Protocol):
    """Where the base is."""

    def base(self) -> TrainingBase:
        """The served one. May block to find its files."""
        ...


class GateReports(Protocol):
    """What gates found. Methods block."""

    def summary(self, alias: str, digest: str) -> Mapping[str, Any] | None:
        """The newest report about a version without its items; None before there is one."""
        ...

    def report(self, alias: str, digest: str) -> Mapping[str, Any] | None:
        """The same with its items."""
        ...


class NoGates:
    """No route demands a gate."""

    def summary(self, _alias: str, _digest: str) -> Mapping[str, Any] | None:
        """Nothing was found."""
        return None

    def report(self, _alias: str, _digest: str) -> Mapping[str, Any] | None:
        """Nothing was found."""
        return None
