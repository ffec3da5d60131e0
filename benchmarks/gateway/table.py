"""From what was measured, round by round, to one table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.load import Figures

BARE: Final = "bare backend"
_HEAD: Final = (
    "| case | gateway | req/s | CPU ms/request | p50 ms | added p50 ms | added p99 ms | failed |\n"
    "| --- | --- | --: | --: | --: | --: | --: | --: |"
)


@dataclass(frozen=True)
class Measured:
    """One case in front of one gateway, in one round.

    Attributes:
        figures: what the clients saw.
        cpu_s: CPU time of the gateway's processes, seconds.
    """

    figures: Figures
    cpu_s: float

    @property
    def cpu_ms(self) -> float:
        """CPU time for each answer, milliseconds; NaN without an answer."""
        answered = self.figures.answered
        return self.cpu_s * 1000 / answered if answered else math.nan


@dataclass
class Rounds:
    """What was measured: for each case and gateway one figure a round, bare backend included."""

    measured: dict[tuple[str, str], list[Measured]] = field(default_factory=dict)

    def add(self, case: str, gateway: str, one: Measured) -> None:
        """The next round's."""
        self.measured.setdefault((case, gateway), []).append(one)

    def table(self, cases: Sequence[str], gateways: Sequence[str]) -> str:
        """Markdown; medians over the rounds, what is added is against the bare of that round."""
        rows = [self._row(case, gateway) for case in cases for gateway in gateways]
        return "\n".join([_HEAD, *rows])

    def _row(self, case: str, gateway: str) -> str:
        ours, bare = self.measured[case, gateway], self.measured[case, BARE]

        def middle(value: Callable[[Measured], float]) -> float:
            return statistics.median(value(each) for each in ours)

        def added(value: Callable[[Figures], float]) -> str:
            pairs = zip(ours, bare, strict=True)
            return (
                f"{statistics.median(value(a.figures) - value(b.figures) for a, b in pairs):+.2f}"
            )

        is_bare = gateway == BARE
        cells = (
            case,
            gateway,
            f"{middle(lambda m: m.figures.requests_per_s):.0f}",
            "" if is_bare else f"{middle(lambda m: m.cpu_ms):.2f}",
            f"{middle(lambda m: m.figures.p50_ms):.2f}",
            "" if is_bare else added(lambda f: f.p50_ms),
            "" if is_bare else added(lambda f: f.p99_ms),
            str(sum(each.figures.failed for each in ours)),
        )
        return f"| {' | '.join(cells)} |"


def left_out(reasons: Mapping[str, str]) -> str:
    """A line for each gateway that was not measured."""
    return "\n".join(f"{name} left out: {reason}" for name, reason in reasons.items())
