"""From token probabilities to P(correct), per intent and target, refitted from judgements.

Mean, minimum and entropy of an answer's tokens become one score by a small logistic regression, and
the score becomes a probability by isotonic regression, so that 0.8 means that 8 of 10 such answers
were judged good. What was judged for this intent and target counts first, then for the target, then
for all versions of its adapter.

Until ``MIN_JUDGED`` answers were judged there is nothing to calibrate with. Then P is exp(mean
log-probability), the geometric mean of the tokens' probabilities: it grows with the model's own
certainty, but is no frequency, and every decision says so (``calibrated: false``).
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from router.judge import scorer
from router.judge.logprobs import Features
from router.judge.scorer import Scorer
from router.learn import isotonic
from router.learn.isotonic import StepMap

MIN_JUDGED = 50
MIN_OF_EACH = 5
"""Good and bad answers that are needed: from one kind alone nothing can be told apart."""
_SAMPLES_KEPT = 500
_CELLS_KEPT = 500
_REFIT_SHARE = 0.05
"""A fit is made again when so many more answers were judged."""
ANY = "*"

Key = tuple[str, str]
Row = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class _Fitted:
    scorer: Scorer
    map: StepMap
    edge: float
    """So close to 0 and 1 no finite number of judgements can bring us."""

    def __call__(self, row: Row) -> float:
        probability = self.map(self.scorer.score(row))
        return min(1.0 - self.edge, max(self.edge, probability))


@dataclass(slots=True)
class _Cell:
    samples: deque[tuple[Row, float]] = field(default_factory=lambda: deque(maxlen=_SAMPLES_KEPT))
    fitted: _Fitted | None = None
    since: int = 0


class Calibration:
    """Judged answers and the maps that were fitted to them; bounded (law 9)."""

    def __init__(self) -> None:
        self._cells: OrderedDict[Key, _Cell] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cells)

    def probability(self, intent: str, target: str, features: Features) -> tuple[float, bool]:
        """P(correct), and whether judgements stand behind it."""
        for key in _keys(intent, target):
            cell = self._cells.get(key)
            if cell is not None and cell.fitted is not None:
                return cell.fitted(_row(features)), True
        return math.exp(features.mean), False

    def judge(self, intent: str, target: str, features: Features, success: float) -> None:
        """Learn how good an answer with these probabilities was, 0 to 1."""
        for key in _keys(intent, target):
            self._add(key, _row(features), success)

    def _add(self, key: Key, row: Row, success: float) -> None:
        cell = self._cells.pop(key, None) or _Cell()
        self._cells[key] = cell
        if len(self._cells) > _CELLS_KEPT:
            self._cells.popitem(last=False)
        cell.samples.append((row, success))
        cell.since += 1
        if cell.fitted is None or cell.since >= _REFIT_SHARE * len(cell.samples):
            _refit(cell)

    def forget(self, target: str) -> None:
        """Drop a target that is gone; what it taught about its alias stays."""
        for key in [key for key in self._cells if key[1] == target]:
            del self._cells[key]

    def snapshot(self) -> list[dict[str, Any]]:
        """All judged answers, as JSON."""
        return [
            {"intent": intent, "target": target, "samples": [[*row, y] for row, y in cell.samples]}
            for (intent, target), cell in self._cells.items()
        ]

    def restore(self, cells: list[dict[str, Any]]) -> None:
        """Start from a snapshot. Raises ``ValueError``, ``KeyError`` or ``TypeError``."""
        for each in cells[-_CELLS_KEPT:]:
            cell = _Cell()
            for mean, minimum, spread, label in each["samples"]:
                row = (float(mean), float(minimum), float(spread))
                if not all(map(math.isfinite, (*row, label))):
                    raise ValueError("samples must be finite numbers")
                cell.samples.append((row, float(label)))
            self._cells[str(each["intent"]), str(each["target"])] = cell
            _refit(cell)


def _refit(cell: _Cell) -> None:
    labels = [label for _, label in cell.samples]
    good = sum(labels)
    if len(labels) < MIN_JUDGED or min(good, len(labels) - good) < MIN_OF_EACH:
        return
    rows = [row for row, _ in cell.samples]
    fitted = scorer.fit(np.array(rows), np.array(labels))
    steps = isotonic.fit([fitted.score(row) for row in rows], labels)
    cell.fitted = _Fitted(fitted, steps, 1.0 / (len(labels) + 2.0))
    cell.since = 0


def _keys(intent: str, target: str) -> Iterator[Key]:
    yield intent, target
    yield ANY, target
    alias, pinned, _ = target.partition("@")
    if pinned:  # a new version begins with what was learned of the versions before it
        yield ANY, alias


def _row(features: Features) -> Row:
    return features.mean, features.minimum, features.entropy or 0.0
