"""From token probabilities to P(correct), per intent and target, refitted from judgements.

Mean, minimum and entropy of an answer's tokens, and the log-odds that were expected of it before it
was given, become one score by a small logistic regression. The score is a probability by itself,
smooth but of one shape, and another one by isotonic regression, of any shape but in steps: half the
say each, so that 0.8 means that 8 of 10 such answers were judged good. What was judged for this
intent and target counts first, then for the target, then for all versions of its adapter.

Until ``MIN_JUDGED`` answers were judged there is nothing to calibrate with. Then P is exp(mean
log-probability), the geometric mean of the tokens' probabilities: it grows with the model's own
certainty, but is no frequency, and every decision says so (``calibrated: false``). Where money
depends on it, it is one opinion beside what was expected before (``pooled``).
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from router.judge import scorer
from router.judge.logprobs import Features
from router.judge.scorer import Scorer
from router.learn import isotonic
from router.learn.isotonic import StepMap

MIN_JUDGED = 50
MIN_OF_EACH = 5
"""Good and bad answers that are needed: from one kind alone nothing can be told apart."""
_SAMPLES_KEPT = 1000
_CELLS_KEPT = 250
_REFIT_SHARE = 0.05
"""A fit is made again when so many more answers were judged."""
ANY = "*"

Key = tuple[str, str]
Row = tuple[float, float, float, float]
"""Of an answer; the last number is NaN where nothing is known of what was expected."""
_EDGE = 1e-6
_FAR = 30.0


@dataclass(frozen=True, slots=True)
class _Fitted:
    scorer: Scorer
    map: StepMap
    edge: float
    """So close to 0 and 1 no finite number of judgements can bring us."""

    def __call__(self, row: Row) -> float:
        if math.isnan(row[3]):
            row = (*row[:3], self.scorer.centre[3])
        score = self.scorer.score(row)
        probability = pooled(self.map(score), 1.0 / (1.0 + math.exp(-max(-_FAR, min(_FAR, score)))))
        return min(1.0 - self.edge, max(self.edge, probability))


@dataclass(slots=True)
class _Cell:
    samples: deque[tuple[Row, float]] = field(default_factory=lambda: deque(maxlen=_SAMPLES_KEPT))
    fitted: _Fitted | None = None
    since: int = 0


class Calibration:
    """Judged answers and the maps that were fitted to them; bounded (law 9).

    Attributes:
        wake: told that something is to be fitted.
    """

    def __init__(self) -> None:
        self._cells: OrderedDict[Key, _Cell] = OrderedDict()
        self._due: dict[Key, None] = {}
        self.wake: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._cells)

    def probability(
        self, intent: str, target: str, features: Features, expected: float | None = None
    ) -> tuple[float, bool]:
        """P(correct), and whether judgements stand behind it.

        ``expected``: P(correct) of such a request's answer before anything was said.
        """
        for key in _keys(intent, target):
            cell = self._cells.get(key)
            if cell is not None and cell.fitted is not None:
                return cell.fitted(_row(features, expected)), True
        return math.exp(features.mean), False

    def judge(
        self,
        intent: str,
        target: str,
        features: Features,
        success: float,
        expected: float | None = None,
    ) -> None:
        """Take how good an answer with these probabilities was, 0 to 1; it counts once fitted."""
        for key in _keys(intent, target):
            self._add(key, _row(features, expected), success)

    def _add(self, key: Key, row: Row, success: float) -> None:
        cell = self._cells.pop(key, None) or _Cell()
        self._cells[key] = cell
        if len(self._cells) > _CELLS_KEPT:
            self._cells.popitem(last=False)
        cell.samples.append((row, success))
        cell.since += 1
        few = len(cell.samples) < MIN_JUDGED
        if not few and (cell.fitted is None or cell.since >= _REFIT_SHARE * len(cell.samples)):
            self._due[key] = None
            self.wake()

    async def refit(self) -> None:
        """Fit what is due, a few milliseconds each, beside the event loop."""
        while self._due:
            key, _ = self._due.popitem()
            cell = self._cells.get(key)
            if cell is None:
                continue
            samples, cell.since = list(cell.samples), 0
            try:
                cell.fitted = await asyncio.to_thread(_fitted, samples) or cell.fitted
            except BaseException:
                self._due[key] = None  # the next run tries again
                raise

    def refit_now(self) -> None:
        """The same in this thread."""
        while self._due:
            cell = self._cells.get(self._due.popitem()[0])
            if cell is not None:
                cell.fitted, cell.since = _fitted(list(cell.samples)) or cell.fitted, 0

    def forget(self, target: str) -> None:
        """Drop a target that is gone; what it taught about its alias stays."""
        for key in [key for key in self._cells if key[1] == target]:
            del self._cells[key]


def _fitted(samples: Sequence[tuple[Row, float]]) -> _Fitted | None:
    """None where there are too few of a kind."""
    labels = [label for _, label in samples]
    good = sum(labels)
    if len(labels) < MIN_JUDGED or min(good, len(labels) - good) < MIN_OF_EACH:
        return None
    rows = np.array([row for row, _ in samples])
    unknown = np.isnan(rows[:, 3])
    rows[unknown, 3] = 0.0 if unknown.all() else rows[~unknown, 3].mean()
    fitted = scorer.fit(rows, np.array(labels))
    steps = isotonic.fit([fitted.score(tuple(row)) for row in rows.tolist()], labels)
    return _Fitted(fitted, steps, 1.0 / (len(labels) + 2.0))


def _keys(intent: str, target: str) -> Iterator[Key]:
    yield intent, target
    yield ANY, target
    alias, pinned, _ = target.partition("@")
    if pinned:  # a new version begins with what was learned of the versions before it
        yield ANY, alias


def _row(features: Features, expected: float | None) -> Row:
    odds = math.nan if expected is None else _log_odds(expected)
    return features.mean, features.minimum, features.entropy or 0.0, odds


def pooled(one: float, other: float | None) -> float:
    """Two opinions of one probability, each with half the say: the mean of their log-odds.

    The logarithmic opinion pool (Genest and Zidek 1986).
    """
    if other is None:
        return one
    return 1.0 / (1.0 + math.exp(-(_log_odds(one) + _log_odds(other)) / 2.0))


def _log_odds(probability: float) -> float:
    bounded = min(1.0 - _EDGE, max(_EDGE, probability))
    return math.log(bounded / (1.0 - bounded))
