"""Is a new version as good as what answers now? Items in, verdict out. Pure.

``passed``: a version that is worse by ``margin`` would have done this well with a chance of at most
``alpha``. ``refused``: the items are too few to tell. ``failed``: they are enough, and the version
did not pass. Which test is used depends on the scores: `adapters.gate.exact` where answers are
right or wrong, `adapters.gate.shares` where they are right in part.

Refusal comes in two ways. With less than ``min_power`` a version just as good would too often not
pass: no verdict is given. Between that and ``_CERTAIN`` an unlucky equal is still likelier than an
error is allowed to be: a version that has not passed there fails only if it is shown to be worse,
otherwise it is refused, and more items decide. So a version as good fails in less than 5 % of cases
whatever ``min_power`` is (decision 42).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal

from adapters.gate import exact
from adapters.gate.shares import Paired

Outcome = Literal["passed", "failed", "refused"]
ALPHA: Final = 0.01
MARGIN: Final = 0.05
MIN_POWER: Final = 0.8
EXACT: Final = "exact paired score test"
SHARES: Final = "tilted paired score test"

_CERTAIN: Final = 0.975
"""With so much power, one that does not pass fails: of those as good at most 2.5 % do not."""
_WORSE_BY_CHANCE: Final = 0.025
"""Chance at most that one as good is shown to be worse."""
_MUCH_BY_CHANCE: Final = 0.01
"""Chance at most that one no worse than the margin is blocked: on the whole, and over all slices
together."""


_GUARD_BY_CHANCE: Final = 0.05
"""Chance at most that the guarding slice of one worse by just the margin blocks."""


@dataclass(frozen=True, slots=True)
class Item:
    """One held-out question, and how good both answers are, 0 to 1."""

    id: str
    candidate: float
    current: float
    slices: tuple[str, ...] = ()
    """What it belongs to: its intent, tenant, language, length; the first names it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a version has to show."""

    margin: float = MARGIN
    """How much worse than the current target it may be."""
    alpha: float = ALPHA
    """The chance at most that one which is worse by the margin passes."""
    min_power: float = MIN_POWER
    """The chance that one as good passes, below which nothing is judged."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the items, with bounds of its own."""

    name: str
    n: int
    candidate: float
    current: float
    lower: float
    upper: float
    """Of all slices together 99 % sure, of the guarding one 95 %."""
    blocks: bool
    """Worse than the margin allows beyond doubt."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the items say."""

    verdict: Outcome
    reason: str
    n: int
    test: str
    alpha: float
    margin: float
    power: float
    """The chance that a version as good as this one looks, and no worse than the current one,
    passes with so many items."""
    candidate: float
    current: float
    difference: float
    lower: float
    upper: float
    """Each ``1 - alpha`` sure; ``lower`` is above ``-margin`` where the test passes."""
    n_missing: int | None
    """Items that would give a verdict; 0 where there is one, None: no number would."""
    slices: tuple[Slice, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the version may serve, as far as scores say."""
        return self.verdict == "passed"


@dataclass(frozen=True, slots=True)
class _Test:
    """One of the two tests, over the same items."""

    name: str
    passes: bool
    power: float
    bounds: tuple[float, float]
    worse: bool
    much_worse: bool
    """Worse than the margin allows, beyond doubt."""
    needed: Callable[[float], int | None]
    """Items with which a version as good passes with a given chance; None: no number does."""


def judge(items: Iterable[Item], demand: Demand, guard: str = "") -> Verdict:
    """The verdict. An id that comes again counts once, with its mean scores.

    ``guard`` names a slice that is believed more readily than others when it speaks against the
    candidate: what was held out before anybody could have poisoned it.
    """
    once = _once(items)
    n = len(once)
    if not n:
        return _nothing(demand)
    test = _tested(once, demand)
    slices = _sliced(once, demand, guard)
    verdict, reason = _decide(test, n, demand, [each for each in slices if each.blocks])
    candidate, current = _mean(i.candidate for i in once), _mean(i.current for i in once)
    missing = 0 if verdict != "refused" else _missing(test, n, demand)
    return Verdict(
        verdict=verdict,
        reason=reason if missing is None or not missing else f"{reason}: {missing} more are needed",
        n=n,
        test=test.name,
        alpha=demand.alpha,
        margin=demand.margin,
        power=test.power,
        candidate=candidate,
        current=current,
        difference=candidate - current,
        lower=test.bounds[0],
        upper=test.bounds[1],
        n_missing=missing,
        slices=tuple(slices),
    )


def _decide(test: _Test, n: int, demand: Demand, blocking: Sequence[Slice]) -> tuple[Outcome, str]:
    low = f"{test.bounds[0]:+.3f}"
    if test.much_worse:
        return "failed", f"it is worse by more than {demand.margin:g} beyond doubt"
    if test.power < demand.min_power:
        return "refused", (
            f"{n} items are too few: a version as good would pass with a chance of "
            f"{test.power:.0%}, and {demand.min_power:.0%} are demanded"
        )
    if blocking:
        named = ", ".join(f"{s.name} ({s.candidate:.2f} against {s.current:.2f})" for s in blocking)
        return "failed", f"worse by more than {demand.margin:g} beyond doubt in {named}"
    if test.passes:
        return "passed", f"worse by {demand.margin:g} is ruled out: the difference is above {low}"
    if test.worse:
        return "failed", f"it is worse: the difference is below {test.bounds[1]:+.3f}"
    if test.power >= _CERTAIN:
        return "failed", f"worse by {demand.margin:g} is not ruled out: the bound is {low}"
    return "refused", (
        f"{n} items decide neither way: worse by {demand.margin:g} is not ruled out (the bound is "
        f"{low}), and that it is worse is not shown"
    )


def _tested(items: Sequence[Item], demand: Demand) -> _Test:
    n, margin, alpha = len(items), demand.margin, demand.alpha
    if not _right_or_wrong(items):
        return _tested_shares(items, demand)
    wins, losses = _disagreements(items)
    discordant = (wins + losses) / n
    # A version that is better does not have to prove that it could have been as good.
    better = max(0, wins - losses) / (n + 2)
    return _Test(
        EXACT,
        exact.score(n, wins, losses, margin) >= exact.critical(n, margin, alpha),
        exact.power(n, better, discordant, margin, alpha),
        exact.bounds(n, wins, losses, margin, alpha),
        # The same test turned round, with no margin: is the current one better at all?
        exact.score(n, losses, wins, 0.0) >= exact.critical(n, 0.0, _WORSE_BY_CHANCE),
        exact.bounds(n, wins, losses, margin, _MUCH_BY_CHANCE)[1] < -margin,
        partial(exact.items_needed, discordant, margin, alpha),
    )


def _tested_shares(items: Sequence[Item], demand: Demand) -> _Test:
    margin, alpha = demand.margin, demand.alpha
    paired = Paired([item.candidate - item.current for item in items])
    return _Test(
        SHARES,
        paired.passes(margin, alpha),
        paired.power(max(0.0, paired.mean), margin, alpha),
        paired.bounds(alpha),
        paired.bounds(_WORSE_BY_CHANCE)[1] < 0,
        paired.bounds(_MUCH_BY_CHANCE)[1] < -margin,
        partial(paired.items_needed, margin, alpha),
    )


def _missing(test: _Test, n: int, demand: Demand) -> int | None:
    """How many more items give a verdict."""
    needed = test.needed(demand.min_power if test.power < demand.min_power else _CERTAIN)
    return None if needed is None else max(1, needed - n)


def _sliced(items: Sequence[Item], demand: Demand, guard: str) -> list[Slice]:
    """Each slice with its bounds: a slice blocks only beyond doubt, however many there are."""
    members: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        for name in dict.fromkeys(item.slices):
            members[name].append(item)
    doubt = _MUCH_BY_CHANCE / max(1, len(members))
    return [
        _slice(name, mine, demand.margin, _GUARD_BY_CHANCE if name == guard else doubt)
        for name, mine in sorted(members.items())
    ]


def _slice(name: str, items: Sequence[Item], margin: float, doubt: float) -> Slice:
    n = len(items)
    if _right_or_wrong(items):
        lower, upper = exact.bounds(n, *_disagreements(items), margin, doubt)
    else:
        lower, upper = Paired([item.candidate - item.current for item in items]).bounds(doubt)
    candidate, current = _mean(i.candidate for i in items), _mean(i.current for i in items)
    return Slice(name, n, candidate, current, lower, upper, blocks=upper < -margin)


def _once(items: Iterable[Item]) -> list[Item]:
    """Each id once: who asks the same again learns nothing new, and must not count as if."""
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.id].append(item)
    return [
        same[0]
        if len(same) == 1
        else Item(
            name,
            _mean(i.candidate for i in same),
            _mean(i.current for i in same),
            same[0].slices,
        )
        for name, same in found.items()
    ]


def _right_or_wrong(items: Iterable[Item]) -> bool:
    return all(i.candidate in {0, 1} and i.current in {0, 1} for i in items)


def _disagreements(items: Iterable[Item]) -> tuple[int, int]:
    pairs = [(item.candidate, item.current) for item in items]
    return pairs.count((1, 0)), pairs.count((0, 1))


def _mean(values: Iterable[float]) -> float:
    every = list(values)
    return math.fsum(every) / len(every)


def _nothing(demand: Demand) -> Verdict:
    needed = exact.items_needed(0.0, demand.margin, demand.alpha, demand.min_power)
    wanted = "" if needed is None else f": {needed} are needed, more where answers differ"
    return Verdict(
        verdict="refused",
        reason=f"there are no held-out items{wanted}",
        n=0,
        test=EXACT,
        alpha=demand.alpha,
        margin=demand.margin,
        power=0.0,
        candidate=0.0,
        current=0.0,
        difference=0.0,
        lower=-1.0,
        upper=1.0,
        n_missing=needed,
    )


def shown(verdict: Verdict) -> dict[str, Any]:
    """A verdict for JSON."""
    return {**asdict(verdict), "passed": verdict.passed}


def item_of(given: Any, place: int = 0) -> Item:
    """An item from JSON: ``{id, slice, candidate, current}``; without an id its place names it.

    Raises ``ValueError``.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"items[{place}]: must be an object {{id, slice, candidate, current}}")  # noqa: TRY004
    name, part = given.get("id", f"#{place}"), given.get("slice")
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise ValueError("id: must be a text or a whole number")  # noqa: TRY004 - as all of them
    scores = {key: _scored(given, key) for key in ("candidate", "current")}
    return Item(str(name), scores["candidate"], scores["current"], _named(part))


def _named(part: Any) -> tuple[str, ...]:
    if part is None or part == "":
        return ()
    parts = part if isinstance(part, list) else [part]
    if not all(isinstance(each, str) for each in parts):
        raise ValueError("slice: must be a text, or a list of texts")
    return tuple(parts)


def _scored(given: Mapping[str, Any], key: str) -> float:
    value = given.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or not is_number or not 0 <= value <= 1:
        raise ValueError(f"{key}: must be a score from 0 to 1")
    return float(value)
