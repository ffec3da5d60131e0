"""Reading the tables of clusters: every number comes from the exchanges that are there now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.corpus.cluster import Cluster, ClusterState, UnknownCluster
from adapters.corpus.cluster_models import ClusterRow, DayRow, MemberRow
from adapters.corpus.models import ExchangeRow
from adapters.corpus.placing import DAY_S
from adapters.corpus.questions import question, shortened

_WEEK: Final = 7
_LARGEST: Final = 10**15
_NAME: Final = 80
_EXAMPLE: Final = 240
NAMELESS: Final = "(its exchanges are gone)"


def row_of(session: Session, cluster_id: str) -> ClusterRow:
    """A cluster, or that which it became a part of. Raises ``UnknownCluster``."""
    row = session.get(ClusterRow, cluster_id)
    if row is not None and row.went_into is not None:
        row = session.get(ClusterRow, row.went_into)
    if row is None:
        raise UnknownCluster(f"there is no cluster {cluster_id[:80]!r}")
    return row


def largest_first(session: Session, states: Sequence[ClusterState]) -> list[str]:
    """Keys that sort by volume, the largest first, each with the cluster's id after a slash.

    Of open clusters those whose exchanges are all gone are left out.
    """
    volume = func.coalesce(func.sum(MemberRow.count), 0)
    query = (
        select(ClusterRow.id, ClusterRow.state, volume)
        .join(MemberRow, MemberRow.cluster == ClusterRow.id, isouter=True)
        .where(ClusterRow.state.in_([state.value for state in states]))
        .group_by(ClusterRow.id, ClusterRow.state)
    )
    return sorted(
        f"{_LARGEST - int(total):016d}/{name}"
        for name, state, total in session.execute(query)
        if total or state != ClusterState.OPEN
    )


def shown(session: Session, rows: Sequence[ClusterRow], now: float) -> list[Cluster]:
    """Rows as others see them."""
    ids = [row.id for row in rows]
    sums = {
        name: (int(volume), float(cost))
        for name, volume, cost in session.execute(
            select(MemberRow.cluster, func.sum(MemberRow.count), func.sum(MemberRow.cost_usd))
            .where(MemberRow.cluster.in_(ids))
            .group_by(MemberRow.cluster)
        )
    }
    days = _days(session, ids, now)
    texts = _texts(session, [each for row in rows for each in json.loads(row.examples)])
    found = []
    for row, name in zip(rows, ids, strict=True):
        examples = [texts[each] for each in json.loads(row.examples) if each in texts]
        volume, cost = sums.get(name, (0, 0.0))
        by_day = days.get(name, {})
        found.append(
            Cluster(
                id=name,
                state=ClusterState(row.state),
                name=shortened(examples[0], _NAME) if examples else NAMELESS,
                examples=tuple(shortened(each, _EXAMPLE) for each in examples),
                volume=volume,
                cost_usd=round(cost, 9),
                trend=_trend(by_day, int(now // DAY_S)),
                days={_date(day): by_day.get(day, 0) for day in _window(now)},
                created_at=row.created_at,
                intent=row.intent,
                alias=row.alias,
            )
        )
    return found


def _window(now: float) -> range:
    today = int(now // DAY_S)
    return range(today - 2 * _WEEK + 1, today + 1)


def _days(session: Session, ids: Sequence[str], now: float) -> dict[str, dict[int, int]]:
    query = (
        select(MemberRow.cluster, DayRow.day, func.sum(DayRow.count))
        .join(MemberRow, MemberRow.exchange == DayRow.exchange)
        .where(MemberRow.cluster.in_(ids), DayRow.day >= _window(now).start)
        .group_by(MemberRow.cluster, DayRow.day)
    )
    found: dict[str, dict[int, int]] = {}
    for name, day, count in session.execute(query):
        found.setdefault(str(name), {})[day] = int(count)
    return found


def _trend(days: dict[int, int], today: int) -> float:
    """Relative to the week before; what is new counts against one."""
    this = sum(count for day, count in days.items() if today - _WEEK < day <= today)
    before = sum(count for day, count in days.items() if today - 2 * _WEEK < day <= today - _WEEK)
    return round((this - before) / max(before, 1), 4)


def _texts(session: Session, exchange_ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(exchange_ids), 500):
        these = ExchangeRow.id.in_(exchange_ids[start : start + 500])
        query = select(ExchangeRow.id, ExchangeRow.messages).where(these)
        for name, messages in session.execute(query):
            found[name] = question(json.loads(messages))
    return {name: text for name, text in found.items() if text}


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
