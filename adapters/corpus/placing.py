"""Putting exchanges into clusters, in one session: one after the other, and all anew."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from adapters.corpus.cluster import ClusterState
from adapters.corpus.cluster_models import ClusterRow, DayRow, MemberRow, MoveRow, ProgressRow
from adapters.corpus.exchange import Exchange
from adapters.corpus.grouping import ALIKE, Floats, centred, go_on, grouped, linked
from adapters.corpus.rows import rows_of

DAY_S: Final = 86400
DAYS_KEPT: Final = 60
_LOOSE: Final = 1500
"""Exchanges without a cluster, the newest, among which new ones are looked for."""
_SHOWN: Final = 5
_NEAREST: Final = 200
"""Members of a cluster, the newest, among which examples are looked for."""
_MERGED_KEPT: Final = 5000
_MOVES_KEPT: Final = 100_000
"""Lines of what became of clusters."""
_SMALLEST: Final = 2
"""Volume from which on it is a cluster."""
MINE: Final = (ClusterState.OPEN,)
Undecided = tuple[int, str | None, bytes]
"""An exchange that is clustered, its cluster if it has one, and its vector."""
_PINNED: Final = (ClusterState.INTENT, ClusterState.DISMISSED)


def packed(vectors: Floats) -> bytes:
    """A vector as it is kept with an exchange."""
    return vectors.astype(np.float16).tobytes()


def unpacked(rows: Sequence[bytes], width: int) -> Floats:
    """Vectors as they were kept, one row each."""
    return np.frombuffer(b"".join(rows), np.float16).reshape(len(rows), width).astype(np.float32)


@dataclass
class Placing:
    """One transaction's work. ``centre`` is where vectors are seen from."""

    session: Session
    centre: Floats
    now: float
    touched: set[str] = field(default_factory=set)
    """Clusters whose examples may have changed."""
    is_regroup: bool = False

    @property
    def _width(self) -> int:
        return len(self.centre)

    # What came

    def take(self, found: Iterable[tuple[Exchange, Floats | None]]) -> None:
        """New exchanges, each with its vector, and what is known anew of old ones."""
        pairs = {exchange.id: (exchange, vector) for exchange, vector in found}
        rows = {row.seq: row.id for row in rows_of(self.session, list(pairs))}
        known = select(MemberRow).where(MemberRow.exchange.in_(rows))
        for member in self.session.scalars(known).all():
            self._again(member, pairs[rows.pop(member.exchange)][0])
        fresh: list[tuple[MemberRow, Floats]] = []
        for seq, name in rows.items():
            exchange, vector = pairs[name]
            if vector is not None:
                fresh.append((_member(seq, exchange, vector), vector))
        self.session.add_all(member for member, _ in fresh)
        self.session.flush()
        for member, _ in fresh:
            day = int(pairs[member.exchange_id][0].at // DAY_S)
            self.session.add(DayRow(exchange=member.exchange, day=day, count=member.count))
        self.session.flush()
        if fresh:
            self._join(fresh)
            self._found_new()

    def _again(self, member: MemberRow, exchange: Exchange) -> None:
        more = exchange.count - member.count
        member.count, member.cost_usd = exchange.count, exchange.cost_usd
        if more > 0:
            self._came(member.exchange, int(self.now // DAY_S), more)

    def _came(self, seq: int, day: int, count: int) -> None:
        row = self.session.get(DayRow, (seq, day))
        if row is None:
            self.session.add(DayRow(exchange=seq, day=day, count=count))
        else:
            row.count += count

    def _join(self, fresh: Sequence[tuple[MemberRow, Floats]]) -> None:
        """Each to the nearest cluster, if one is near enough."""
        there = select(ClusterRow).where(
            ClusterRow.state.in_([*MINE, *_PINNED]), ClusterRow.size > 0
        )
        clusters = self.session.scalars(there.order_by(ClusterRow.number)).all()
        if not clusters:
            return
        means = np.stack([np.frombuffer(row.mean, np.float32) for row in clusters])
        seen = centred(np.stack([vector for _, vector in fresh]), self.centre)
        alike = seen @ means.T
        for (member, _), own, row in zip(fresh, seen, alike, strict=True):
            best = int(row.argmax())
            if row[best] < ALIKE:
                continue
            cluster = clusters[best]
            mean = np.frombuffer(cluster.mean, np.float32)
            cluster.mean = ((mean * cluster.size + own) / (cluster.size + 1)).tobytes()
            cluster.size += 1
            member.cluster = cluster.id
            self.touched.add(cluster.id)

    def _found_new(self) -> None:
        """Clusters among those that have none."""
        query = select(MemberRow).where(MemberRow.cluster.is_(None))
        loose = self.session.scalars(query.order_by(MemberRow.exchange.desc()).limit(_LOOSE)).all()
        if not loose:
            return
        seen = centred(unpacked([row.vector for row in loose], self._width), self.centre)
        labels = linked(seen, ALIKE)
        for label in np.unique(labels):
            these = np.flatnonzero(labels == label)
            members = [loose[place] for place in these]
            if sum(member.count for member in members) >= _SMALLEST:
                row = self._cluster(seen[these])
                for member in members:
                    member.cluster = row.id

    def _cluster(self, seen: Floats) -> ClusterRow:
        progress = self.session.get_one(ProgressRow, 1)
        progress.numbers += 1
        row = ClusterRow(
            id=f"clu_{secrets.token_hex(8)}",
            number=progress.numbers,
            state=ClusterState.OPEN.value,
            created_at=self.now,
            mean=seen.mean(axis=0, dtype=np.float32).tobytes(),
            size=len(seen),
            examples="[]",
        )
        self.session.add(row)
        self.session.flush()
        self.touched.add(row.id)
        return row

    # All anew

    def regroup(self, plan: Plan, count: int) -> None:
        """Have every group of the plan be one cluster, under its old name if it had one.

        What was decided on since the plan was made stays as it is. ``count``: how many there were.
        """
        self.is_regroup = True
        rows = {row.id: row for row in self.session.scalars(select(ClusterRow))}
        there = {
            row.exchange: row
            for row in self.session.scalars(
                select(MemberRow).where(MemberRow.exchange >= min(plan.members, default=0))
            )
            if row.cluster is None or rows[row.cluster].state == ClusterState.OPEN
        }
        pinned = self._pinned(rows.values())
        names = go_on(plan.before, plan.labels, {row.id: row.number for row in rows.values()})
        went: dict[str, str | None] = {}
        kept: set[str | None] = set()
        for label in np.unique(plan.labels):
            these = np.flatnonzero(plan.labels == label)
            members = [there[seq] for place in these if (seq := plan.members[place]) in there]
            home = self._home(plan.seen[these], members, names.get(int(label)), rows, pinned)
            kept.add(home)
            for member in members:
                if member.cluster is not None and member.cluster != home:
                    went.setdefault(member.cluster, home)
                member.cluster = home
        self.session.flush()
        self._end(went, kept, rows)
        progress = self.session.get_one(ProgressRow, 1)
        progress.centre, progress.grouped_at = plan.centre.tobytes(), self.now
        progress.grouped = count

    def _home(
        self,
        seen: Floats,
        members: Sequence[MemberRow],
        name: str | None,
        rows: dict[str, ClusterRow],
        pinned: Sequence[tuple[str, Floats]],
    ) -> str | None:
        """The cluster of one group; None: it is too small."""
        if not members:
            return None
        mean = seen.mean(axis=0, dtype=np.float32)
        near = max(pinned, key=lambda each: float(mean @ each[1]), default=None)
        if near is not None and float(mean @ near[1]) >= ALIKE:
            self.touched.add(near[0])
            return near[0]
        row = rows.get(name or "")
        if row is None:
            if sum(member.count for member in members) < _SMALLEST:
                return None
            return self._cluster(seen).id
        row.mean, row.size = mean.tobytes(), len(seen)
        self.touched.add(row.id)
        return row.id

    def _pinned(self, rows: Iterable[ClusterRow]) -> list[tuple[str, Floats]]:
        """Clusters that somebody decided on, seen from where all are seen from now."""
        found = []
        for row in rows:
            if row.state not in _PINNED:
                continue
            vectors = unpacked([member.vector for member in self._newest(row.id)], self._width)
            if len(vectors):
                mean = centred(vectors, self.centre).mean(axis=0, dtype=np.float32)
                row.mean, row.size = mean.tobytes(), len(vectors)
            if row.size:
                found.append((row.id, np.frombuffer(row.mean, np.float32)))
        return found

    def _end(
        self, went: dict[str, str | None], kept: set[str | None], rows: dict[str, ClusterRow]
    ) -> None:
        """Clusters that no group goes on with are part of where their members went."""
        for name, home in went.items():
            row = rows[name]
            if name in kept or row.state != ClusterState.OPEN:
                continue
            # Older members than were looked at go the same way.
            self.session.execute(
                update(MemberRow).where(MemberRow.cluster == name).values(cluster=home)
            )
            if home is None:
                self.session.delete(row)
                continue
            row.state, row.went_into, row.size = ClusterState.MERGED.value, home, 0
            note(self.session, self.now, "merged", name, home)
            self.session.execute(
                update(ClusterRow).where(ClusterRow.went_into == name).values(went_into=home)
            )

    # What is left to do

    def tidy(self, most: int) -> None:
        """Forget what is too much or too old; name what changed by its best examples."""
        self.session.flush()
        newest = select(MemberRow.exchange).order_by(MemberRow.exchange.desc())
        last = self.session.scalar(newest.offset(most).limit(1))
        if last is not None:
            self.session.execute(delete(MemberRow).where(MemberRow.exchange <= last))
        moves = self.session.scalar(select(func.max(MoveRow.id))) or 0
        self.session.execute(delete(MoveRow).where(MoveRow.id <= moves - _MOVES_KEPT))
        old = DayRow.day < int(self.now // DAY_S) - DAYS_KEPT
        self.session.execute(delete(DayRow).where(old))
        merged = ClusterRow.state == ClusterState.MERGED.value
        numbers = select(ClusterRow.number).where(merged).order_by(ClusterRow.number.desc())
        oldest = self.session.scalar(numbers.offset(_MERGED_KEPT).limit(1))
        if oldest is not None:
            self.session.execute(delete(ClusterRow).where(merged, ClusterRow.number <= oldest))
        self._drop_empty()
        for name in sorted(self.touched):
            self._show(name)

    def _drop_empty(self) -> None:
        """Open clusters whose exchanges are all gone."""
        left = select(MemberRow.cluster).where(MemberRow.cluster.is_not(None)).distinct()
        is_open = ClusterRow.state == ClusterState.OPEN.value
        self.session.execute(delete(ClusterRow).where(is_open, ClusterRow.id.not_in(left)))

    def _show(self, name: str) -> None:
        row = self.session.get(ClusterRow, name)
        if row is None or (len(json.loads(row.examples)) == _SHOWN and not self._has_grown(row)):
            return
        members = self._newest(name)
        if not members:
            return
        best = [members[place].exchange_id for place in self.nearest(row, members)]
        # A name that changes with every arrival helps nobody.
        first = [each for each in json.loads(row.examples)[:1] if each in best]
        row.examples = json.dumps(list(dict.fromkeys([*first, *best]))[:_SHOWN])

    def _has_grown(self, row: ClusterRow) -> bool:
        """About each time that it is a fifth larger: looking for better examples takes time."""
        return row.size < 2 * _SHOWN or row.size % (row.size // _SHOWN) == 0 or self.is_regroup

    def nearest(self, row: ClusterRow, members: Sequence[MemberRow]) -> list[int]:
        """Places of members, those first that are most like all others."""
        seen = centred(unpacked([member.vector for member in members], self._width), self.centre)
        alike = seen @ np.frombuffer(row.mean, np.float32)
        return [int(place) for place in np.argsort(-alike, kind="stable")]

    def _newest(self, name: str) -> Sequence[MemberRow]:
        query = select(MemberRow).where(MemberRow.cluster == name)
        return self.session.scalars(query.order_by(MemberRow.exchange.desc()).limit(_NEAREST)).all()

    def members(self, name: str) -> Sequence[MemberRow]:
        """The newest of a cluster."""
        return self._newest(name)


def _member(seq: int, exchange: Exchange, vector: Floats) -> MemberRow:
    return MemberRow(
        exchange=seq,
        exchange_id=exchange.id,
        cluster=None,
        vector=packed(vector),
        count=exchange.count,
        cost_usd=exchange.cost_usd,
    )


def note(
    session: Session, at: float, action: str, cluster: str, detail: str, actor: str = "registry"
) -> None:
    """Put a change into the history."""
    session.add(MoveRow(at=at, actor=actor, action=action, cluster=cluster, detail=detail))


@dataclass(frozen=True)
class Plan:
    """How all members should be grouped; made beside any transaction, since it takes seconds."""

    members: list[int]
    before: list[str | None]
    labels: NDArray[np.intp]
    centre: Floats
    seen: Floats

    @classmethod
    def of(cls, rows: Sequence[Undecided], general: Floats) -> Plan:
        """Group what ``undecided`` found."""
        vectors = unpacked([vector for _, _, vector in rows], len(general))
        labels, centre = grouped(vectors, general)
        seqs, before = [seq for seq, _, _ in rows], [cluster for _, cluster, _ in rows]
        return cls(seqs, before, labels, centre, centred(vectors, centre))


def undecided(session: Session, most: int) -> Sequence[Undecided]:
    """The newest members that nobody decided on: exchange, cluster, vector."""
    query = select(MemberRow.exchange, MemberRow.cluster, MemberRow.vector).where(_undecided())
    newest = query.order_by(MemberRow.exchange.desc()).limit(most)
    return [(seq, cluster, vector) for seq, cluster, vector in session.execute(newest)]


def count_undecided(session: Session) -> int:
    """How many there are."""
    return session.scalar(select(func.count()).select_from(MemberRow).where(_undecided())) or 0


def _undecided() -> ColumnElement[bool]:
    is_open = select(ClusterRow.id).where(ClusterRow.state == ClusterState.OPEN.value)
    return MemberRow.cluster.is_(None) | MemberRow.cluster.in_(is_open)


def count_members(session: Session) -> int:
    """How many exchanges are clustered, or are waiting to be."""
    return session.scalar(select(func.count()).select_from(MemberRow)) or 0
