"""This router's counts: who used what, by the hour, and what became of each version's requests.

Usage is by key, tenant, route, target and intent, and is added up over all routers; the counts per
version are for the registry's ladder and residency.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from adapters.traffic import LATENCY_BOUNDS_S, VersionTraffic, bucket
from router.account.signals import SignalRow, Signals
from router.choose.learning import success_of
from router.delivery import CANCELLED, ESCALATED, REJECTED, VIOLATED
from router.errors import TargetUnavailable
from router.exchange import HIT, Exchange
from router.request import NO_INTENT
from router.stages import Booked, Heading

_ADAPTER = "adapter:"
_SERVER_ERROR = 500
_HEARD_KEPT = 10_000
_NO_FAULT = (REJECTED, CANCELLED, ESCALATED, VIOLATED)


@dataclass(slots=True)
class _VersionCounts:
    requests: int = 0
    errors: int = 0
    shadowed: int = 0
    agreement: float = 0.0
    wanted: int = 0
    unsure: int = 0
    judged: int = 0
    good: float = 0.0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))


class Traffic:
    """Counts by engine name; names that leave the table are forgotten (law 9).

    ``known`` says whether a target is still in the table: what began before it left is counted no
    more when it ends.
    """

    def __init__(self, known: Callable[[str], bool] = lambda _: True) -> None:
        self._known = known
        self._counts: dict[str, _VersionCounts] = {}
        self._heard: OrderedDict[str, None] = OrderedDict()

    def observe(self, exchange: Exchange) -> None:
        """Count one finished exchange."""
        wanted = exchange.decision.wanted
        if wanted is None and exchange.decision.options:
            wanted = exchange.decision.options[0].target
        attempts = exchange.delivery.attempts
        # Nobody was asked when nobody holds it: a pinned version that has to be loaded first.
        missed = bool(attempts) or exchange.account.error == TargetUnavailable.code
        if wanted is not None and wanted.startswith(_ADAPTER) and missed:
            self._of(wanted).wanted += all(each.target != wanted for each in attempts)
        for attempt in attempts:
            if attempt.target.startswith(_ADAPTER):
                self._attempt(exchange, attempt.target, attempt.outcome)

    def _attempt(self, exchange: Exchange, target: str, outcome: str) -> None:
        counts = self._of(target)
        counts.requests += 1
        failed = (
            exchange.account.status >= _SERVER_ERROR
            or exchange.account.error == "upstream_stream_broken"
        )
        if outcome == "ok" and not failed:
            counts.latency[bucket(exchange.account.seconds)] += 1
        elif not outcome.startswith(_NO_FAULT):
            counts.errors += 1
        counts.unsure += outcome == ESCALATED

    def judged(self, said: Mapping[str, Any]) -> None:
        """Count what somebody said of an answer. What is said again of the same is not counted."""
        target = (said.get("judged") or {}).get("target")
        success = success_of(said["kind"], said["value"])
        decision = str(said["decision_id"])
        if success is None or not str(target).startswith(_ADAPTER) or decision in self._heard:
            return
        if not self._known(str(target)):
            return
        self._heard[decision] = None
        if len(self._heard) > _HEARD_KEPT:
            self._heard.popitem(last=False)
        counts = self._of(str(target))
        counts.judged += 1
        counts.good += success

    def shadowed(self, name: str, agreement: float | None) -> None:
        """Count one secret answer; ``agreement`` None: there was none."""
        counts = self._of(_ADAPTER + name)
        counts.shadowed += 1
        if agreement is None:
            counts.errors += 1
            counts.requests += 1
        else:
            counts.agreement += agreement

    def forget(self, name: str) -> None:
        """Drop an engine name."""
        self._counts.pop(name, None)

    def snapshot(self) -> dict[str, VersionTraffic]:
        """Counts since this process began, by engine name."""
        return {
            name: VersionTraffic(
                requests=counts.requests,
                errors=counts.errors,
                latency=tuple(counts.latency),
                shadowed=counts.shadowed,
                agreement=counts.agreement,
                wanted=counts.wanted,
                unsure=counts.unsure,
                judged=counts.judged,
                good=counts.good,
            )
            for name, counts in self._counts.items()
        }

    def _of(self, target: str) -> _VersionCounts:
        if not self._known(target):
            return _VersionCounts()
        return self._counts.setdefault(target.removeprefix(_ADAPTER), _VersionCounts())


HOUR_S = 3600
MAX_ROWS = 50_000
MAX_GROUPS = 500
"""Of totals; each is a dozen series of metrics."""
GONE = "gone"
"""Stands for versions that left the table before a request to them was over."""
OTHER = "(other)"
"""Stands for what did not find room any more (law 9)."""
TIMES: Final = {heading.value: f"{heading.value.replace('-', '_')}_us" for heading in Heading}
"""The field of a row that has a heading's time."""
_BOOKED: Final[dict[Heading | None, str]] = {
    None: "target_us",
    **{heading: TIMES[heading] for heading in Heading},
}
"""The same, by what a stage is booked to."""
_NO_TARGET = "none"


class UsageRow(BaseModel):
    """Counts of one router in one hour; they only grow."""

    model_config = ConfigDict(extra="forbid")

    hour: int
    """Its beginning, seconds since the epoch."""
    key: str
    tenant: str
    route: str
    target: str
    intent: str = NO_INTENT
    requests: int = 0
    """Answered or refused; booked to the target that was chosen last."""
    refused: int = 0
    """Of them, those that got a 4xx or 5xx, or left."""
    cache_hits: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0
    """Billionths of a dollar."""
    target_us: int = 0
    """Waiting for targets, microseconds; all below are of the router's own time, by heading."""
    routing_us: int = 0
    governance_us: int = 0
    context_stitching_us: int = 0
    monitoring_us: int = 0
    policy_us: int = 0
    data_prep_us: int = 0
    audit_us: int = 0


@dataclass(slots=True)
class Counts:
    """A row's, while it grows: a model checks each assignment, which costs more than counting."""

    requests: int = 0
    refused: int = 0
    cache_hits: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0
    target_us: int = 0
    routing_us: int = 0
    governance_us: int = 0
    context_stitching_us: int = 0
    monitoring_us: int = 0
    policy_us: int = 0
    data_prep_us: int = 0
    audit_us: int = 0

    def add(self, more: Counts) -> None:
        """Count those too."""
        for name in _NAMES:
            setattr(self, name, getattr(self, name) + getattr(more, name))


_NAMES = tuple(each.name for each in fields(Counts))


class Group(NamedTuple):
    """What totals are told apart by."""

    tenant: str
    intent: str
    target: str


_OTHERS = Group(OTHER, OTHER, OTHER)


class _Place(NamedTuple):
    """What tells rows apart."""

    hour: int
    key: str
    tenant: str
    route: str
    target: str
    intent: str


class UsageReport(BaseModel):
    """Rows of one router that changed since it was last heard."""

    holder: str
    rows: tuple[UsageRow, ...]
    signals: tuple[SignalRow, ...] = ()


class UsageKeeper(Protocol):
    """Whoever adds the routers' counts up."""

    async def report(self, report: UsageReport) -> None:
        """Take absolute counts; hearing the same twice changes nothing."""
        ...


class UsageMeter:
    """Counts in memory; bounded."""

    def __init__(self, clock: Callable[[], float] = time.time, max_rows: int = MAX_ROWS) -> None:
        self._clock = clock
        self._max_rows = max_rows
        self._rows: dict[_Place, Counts] = {}
        self._changed: set[_Place] = set()
        self._past: dict[Group, Counts] = {}
        self._signals = Signals(clock)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def signals(self) -> int:
        """How many buckets of signals are in memory."""
        return len(self._signals)

    def book(self, exchange: Exchange) -> None:
        """Add what one settled exchange used."""
        self._signals.observe(exchange)
        target = exchange.chosen.target if exchange.chosen else _NO_TARGET
        row = self._row(exchange, target)
        row.requests += 1
        row.refused += exchange.account.status >= 400
        row.cache_hits += exchange.account.cache == HIT
        for attempt in exchange.delivery.attempts:
            asked = row if attempt.target == target else self._row(exchange, attempt.target)
            asked.attempts += 1
            asked.input_tokens += attempt.billed.input_tokens or 0
            asked.output_tokens += attempt.billed.output_tokens or 0
            asked.nano_usd += round(attempt.cost_usd * 1e9)

    def book_time(self, exchange: Exchange, stages: Iterable[Booked]) -> None:
        """Add the time of its stages; to be called when nothing more is to come."""
        row = self._row(exchange, exchange.chosen.target if exchange.chosen else _NO_TARGET)
        seconds = dict.fromkeys(_BOOKED, 0.0)
        for each in stages:
            seconds[each.heading] += each.seconds
        for heading, name in _BOOKED.items():
            if took_us := round(seconds[heading] * 1e6):
                setattr(row, name, getattr(row, name) + took_us)

    def _row(self, exchange: Exchange, target: str) -> Counts:
        request, decision = exchange.request, exchange.decision
        where = _Place(
            int(self._clock() // HOUR_S * HOUR_S),
            request.caller.name if request.caller else "",
            request.tenant,
            # A name that nothing has never becomes a row: clients could invent any number of them.
            request.route if decision.options else _NO_TARGET,
            target,
            decision.intent.name or NO_INTENT,
        )
        row = self._rows.get(where)
        if row is None:
            if len(self._rows) >= self._max_rows:
                where = _Place(where.hour, OTHER, OTHER, OTHER, OTHER, OTHER)
            row = self._rows.get(where)
            if row is None:
                row = self._rows[where] = Counts()
        self._changed.add(where)
        return row

    async def deliver(self, keeper: UsageKeeper, holder: str) -> None:
        """Report what changed; what could not be delivered is reported again next time."""
        places, self._changed = self._changed, set()
        signals = self._signals.take()
        if places or signals:
            rows = tuple(_told(place, self._rows[place]) for place in places)
            try:
                await keeper.report(UsageReport(holder=holder, rows=rows, signals=signals))
            except BaseException:
                self._changed |= places
                self._signals.put_back(signals)
                raise
        self._signals.tidy()
        this_hour = int(self._clock() // HOUR_S * HOUR_S)
        over = [p for p in self._rows if p.hour < this_hour and p not in self._changed]
        for place in over:
            self._past_of(place).add(self._rows.pop(place))

    def totals(self) -> dict[Group, Counts]:
        """All counts since this process began, by tenant, intent and target.

        Bounded, for metrics: groups that find no room are added up as ``OTHER``.
        """
        for place in self._rows:
            self._past_of(place)
        found = {group: replace(counts) for group, counts in self._past.items()}
        for place, counts in self._rows.items():
            group = _group(place)
            found[group if group in found else _OTHERS].add(counts)
        return found

    def forget(self, target: str) -> None:
        """A retired target counts among those that left from now on: names stay bounded."""
        for group in [each for each in self._past if each.target == target]:
            gone = self._past.setdefault(group._replace(target=GONE), Counts())
            gone.add(self._past.pop(group))

    def _past_of(self, place: _Place) -> Counts:
        """What was counted of a row's group in rows that are no longer here."""
        group = _group(place)
        if group not in self._past and len(self._past) >= MAX_GROUPS:
            group = _OTHERS
        return self._past.setdefault(group, Counts())


def _group(place: _Place) -> Group:
    return Group(place.tenant, place.intent, place.target)


def _told(place: _Place, counts: Counts) -> UsageRow:
    return UsageRow.model_validate({**place._asdict(), **asdict(counts)})
