"""What drifts, of all routers: counts by hour go in, comparisons of two times come out."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import orjson
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from adapters.registry import database
from router.account.signals import EXAMPLES, HOUR_S, SIGNALS, SignalRow
from router.learn.drift import DAY_S, REFERENCE_S, Drift, compare
from serving.registry.accounts.models import SignalCount

_KEPT_S = REFERENCE_S + 2 * DAY_S


def store(session: Session, holder: str, rows: Iterable[SignalRow]) -> None:
    """Take a router's counts; they are absolute, so hearing them twice changes nothing."""
    for reported in rows:
        row = session.get(SignalCount, (reported.hour, reported.signal, reported.bucket, holder))
        if row is None:
            row = SignalCount(
                hour=reported.hour,
                signal=reported.signal,
                bucket=reported.bucket,
                holder=holder,
                requests=0,
                examples="[]",
            )
            session.add(row)
        if reported.count >= row.requests:
            row.requests = reported.count
            row.examples = orjson.dumps(reported.examples).decode()


def tidy(session: Session, now_s: float) -> None:
    """Forget what no comparison needs any more."""
    session.execute(delete(SignalCount).where(SignalCount.hour < now_s - _KEPT_S))


@dataclass
class _Span:
    """What was counted within a time, by bucket."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class DriftBook:
    """Compares the last day with the week before. Thread-safe."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._reader = database.reader(engine)
        self._clock = clock
        self.newest: tuple[Drift, ...] = ()
        """What ``look`` found last; for metrics, which must not wait for the database."""

    def look(self) -> None:
        """Compare anew."""
        self.newest = tuple(self.ask())

    def ask(self) -> list[Drift]:
        """Each signal, by name."""
        now, before = self._read()
        return [
            compare(name, now[name].counts, before[name].counts, now[name].examples)
            for name in sorted(SIGNALS)
        ]

    def _read(self) -> tuple[dict[str, _Span], dict[str, _Span]]:
        parted = self._clock() - DAY_S
        now: dict[str, _Span] = defaultdict(_Span)
        before: dict[str, _Span] = defaultdict(_Span)
        # Columns, not objects: of many routers there are a hundred thousand rows.
        query = (
            select(
                SignalCount.hour,
                SignalCount.signal,
                SignalCount.bucket,
                SignalCount.requests,
                SignalCount.examples,
            )
            .where(SignalCount.hour >= parted - REFERENCE_S)
            .order_by(SignalCount.hour)
        )
        with Session(self._reader) as session:
            for hour, signal, bucket, requests, examples in session.execute(query):
                # An hour belongs to the day when any of it does.
                is_now = hour > parted - HOUR_S
                span = (now if is_now else before)[signal]
                span.counts[bucket] += requests
                if is_now:
                    kept = [*span.examples[bucket], *orjson.loads(examples)]
                    span.examples[bucket] = kept[-EXAMPLES:]
        return now, before


class DriftCollector(Collector):
    """The newest comparison, as Prometheus reads it."""

    def __init__(self, book: DriftBook) -> None:
        self._book = book

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        psi = GaugeMetricFamily(
            "graftwork_drift_psi",
            "Population stability index of the last day against the week before.",
            labels=["signal"],
        )
        noise = GaugeMetricFamily(
            "graftwork_drift_noise",
            "An index that chance alone stays below, 999 times of a thousand.",
            labels=["signal"],
        )
        for each in self._book.newest:
            if each.psi is not None and each.noise is not None:
                psi.add_metric([each.signal], each.psi)
                noise.add_metric([each.signal], each.noise)
        yield psi
        yield noise
