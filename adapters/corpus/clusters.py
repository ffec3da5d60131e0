"""Clusters of exchanges that are worth a look: what is asked again and again and answered poorly.

``tick`` is background work; everything else is asked by administrators and routers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from adapters.corpus.cluster import Cluster, ClusterState, ClusterTaken, Move
from adapters.corpus.cluster_models import ClusterRow, MemberRow, MoveRow, ProgressRow
from adapters.corpus.cluster_rows import largest_first, row_of, shown
from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.exchanges import Exchanges
from adapters.corpus.grouping import GENERAL, Floats
from adapters.corpus.made import Intents
from adapters.corpus.models import ExchangeRow
from adapters.corpus.placing import (
    Placing,
    Plan,
    count_members,
    count_undecided,
    note,
    undecided,
)
from adapters.corpus.questions import question
from adapters.flywheel.database import FlywheelStore

T = TypeVar("T")
MAX_MEMBERS: Final = 20_000
"""Exchanges that are clustered, the newest; about 1 KB each."""
MAX_GROUPED: Final = 4000
"""Of them, how many are grouped anew; the time grows with the square."""
_AT_ONCE: Final = 200
_GROWN: Final = 1.3
_MORE: Final = 8
"""All are grouped anew when there are so many times as many as the last time, and some more."""
_AT_LATEST_S: Final = 3600.0
_REVIEWED: Final = 200
"""Open reviews that one intent is given by itself."""
_log = logging.getLogger("graftwork.registry")


class Embedding(Protocol):
    """Texts to vectors of length 1: texts that mean alike point alike. Blocks."""

    @property
    def name(self) -> str:
        """Which model; vectors of two are not compared."""
        ...

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text."""
        ...


class Clusters:
    """Methods block and are thread-safe; each that writes is one durable transaction.

    Args:
        store: the loop's database.
        exchanges: what was captured.
        embedding: what texts mean.
        clock: seconds since the epoch.
        consents: whether what a tenant's exchanges hold may be learnt, now.

    Attributes:
        intents: those that were made of clusters.
        members: how many exchanges are clustered, as of the last tick.
        touched: the clusters to which the last tick added something.
    """

    def __init__(
        self,
        store: FlywheelStore,
        exchanges: Exchanges,
        embedding: Embedding,
        clock: Callable[[], float] = time.time,
        consents: Callable[[str], bool] = lambda _tenant: True,
    ) -> None:
        self._store = store
        self._exchanges = exchanges
        self._embedding = embedding
        self._clock = clock
        self._consents = consents
        self._general: Floats | None = None
        self.intents = Intents(store, self._placing, clock, consents)
        self.members = 0
        self.touched: frozenset[str] = frozenset()

    # Background work

    def tick(self) -> bool:
        """Look at some exchanges that came or changed; whether more of them wait."""
        with self._store.read() as session:
            progress = session.get_one(ProgressRow, 1)
            after, encoder = progress.changed, progress.encoder
        if encoder != self._embedding.name:
            self._store.write(self._start_anew)
            after = 0
        found, self.touched = self._exchanges.since(after, _AT_ONCE), frozenset()
        if found.after is not None:
            pairs, changed = self._with_vectors(found.exchanges), found.after
            if any(vector is not None for _, vector in pairs):
                self._centre_of_all()  # before the transaction: the model may have to be loaded
            self._store.write(lambda session: self._take(session, pairs, changed))
        is_done = len(found.exchanges) < _AT_ONCE
        if is_done:
            self._regroup_when_due()
        return not is_done

    def _centre_of_all(self) -> Floats:
        if self._general is None:
            self._general = self._embedding.encode(GENERAL).mean(axis=0, dtype=np.float32)
        return self._general

    def _start_anew(self, session: Session) -> None:
        """Another encoder: no vector can be compared with what there is."""
        _log.info("clusters_start_anew", extra={"encoder": self._embedding.name})
        session.execute(delete(MemberRow))
        is_open = ClusterRow.state.in_([ClusterState.OPEN.value, ClusterState.MERGED.value])
        session.execute(delete(ClusterRow).where(is_open))
        for row in session.scalars(select(ClusterRow)):
            row.size = 0
        progress = session.get_one(ProgressRow, 1)
        progress.encoder, progress.centre = self._embedding.name, None
        progress.changed = progress.grouped = 0

    def _with_vectors(
        self, exchanges: Sequence[Exchange]
    ) -> list[tuple[Exchange, NDArray[np.float32] | None]]:
        """Those that are worth a look, or were before; new ones with their vectors."""
        with self._store.read() as session:
            ids = [each.id for each in exchanges]
            known = set(
                session.scalars(select(MemberRow.exchange_id).where(MemberRow.exchange_id.in_(ids)))
            )
        fresh = [
            (each, text)
            for each in exchanges
            if each.id not in known and each.signals and each.trains
            if self._consents(each.tenant)
            if (text := question(each.messages))
        ]
        vectors = self._embedding.encode([text for _, text in fresh]) if fresh else ()
        old = [(each, None) for each in exchanges if each.id in known]
        return [*old, *((each, row) for (each, _), row in zip(fresh, vectors, strict=True))]

    def _take(self, session: Session, pairs: Sequence[tuple[Exchange, Any]], changed: int) -> None:
        session.get_one(ProgressRow, 1).changed = changed
        if not pairs:
            return
        placing = self._placing(session)
        placing.take(pairs)
        self.intents.spread(session, placing.touched)
        placing.tidy(MAX_MEMBERS)
        self.members, self.touched = count_members(session), frozenset(placing.touched)

    def _placing(self, session: Session) -> Placing:
        centre = session.get_one(ProgressRow, 1).centre
        where = self._centre_of_all() if centre is None else np.frombuffer(centre, np.float32)
        return Placing(session, where, self._clock())

    def _regroup_when_due(self) -> None:
        with self._store.read() as session:
            count = count_undecided(session)
            progress = session.get_one(ProgressRow, 1)
            has_grown = count >= _GROWN * progress.grouped + _MORE
            is_old = self._clock() - progress.grouped_at > _AT_LATEST_S
            if not count or not (has_grown or (is_old and count != progress.grouped)):
                return
            rows = undecided(session, MAX_GROUPED)
        plan = Plan.of(rows, self._centre_of_all())

        def work(session: Session) -> None:
            placing = Placing(session, plan.centre, self._clock())
            placing.regroup(plan, count)
            self.intents.spread(session, placing.touched)
            placing.tidy(MAX_MEMBERS)

        self._store.write(work)

    # Looking

    def all(self, states: Sequence[ClusterState]) -> list[Cluster]:
        """Those in these states, the largest first."""
        return self.page(states, None)[0]

    def page(
        self, states: Sequence[ClusterState], limit: int | None, after: str = ""
    ) -> tuple[list[Cluster], str | None]:
        """Some of them, the largest first; and the key to go on after, None at the end."""
        with self._store.read() as session:
            keys = [key for key in largest_first(session, states) if key > after]
            shown_keys = keys if limit is None else keys[:limit]
            ids = [key.partition("/")[2] for key in shown_keys]
            rows = {row.id: row for row in session.scalars(_with_ids(ids))}
            found = shown(session, [rows[each] for each in ids], self._clock())
        return found, shown_keys[-1] if len(keys) > len(shown_keys) else None

    def find(self, cluster_id: str) -> Cluster:
        """One, also by the name of one that became a part of it. Raises ``UnknownCluster``."""
        with self._store.read() as session:
            return shown(session, [row_of(session, cluster_id)], self._clock())[0]

    def exchanges(self, cluster_id: str, limit: int = 100) -> list[str]:
        """Ids of its newest exchanges. Raises ``UnknownCluster``."""
        with self._store.read() as session:
            name = row_of(session, cluster_id).id
            query = select(MemberRow.exchange_id).where(MemberRow.cluster == name)
            return [*session.scalars(query.order_by(MemberRow.exchange.desc()).limit(limit))]

    def history(self, cluster_id: str) -> list[Move]:
        """What became of it, the newest first. Raises ``UnknownCluster``."""
        with self._store.read() as session:
            name = row_of(session, cluster_id).id
            query = select(MoveRow).where(MoveRow.cluster == name).order_by(MoveRow.id.desc())
            rows = session.scalars(query.limit(200)).all()
            return [Move(row.at, row.actor, row.action, row.detail) for row in rows]

    def wanted_reviews(self, limit: int = 100) -> Mapping[str, str]:
        """Exchanges of made intents that nobody has looked at, each with its intent."""
        with self._store.read() as session:
            found: dict[str, str] = {}
            made = ClusterRow.state == ClusterState.INTENT.value
            for row in session.scalars(select(ClusterRow).where(made)):
                found |= dict.fromkeys(_unseen(session, row.id), row.intent or "")
            return dict([*found.items()][:limit])

    # Deciding

    def dismiss(self, cluster_id: str, actor: str) -> Cluster:
        """Show it no more, nor what comes like it. Raises ``UnknownCluster``, ``ClusterTaken``."""
        return self._decide(cluster_id, ClusterState.DISMISSED, "dismissed", actor)

    def restore(self, cluster_id: str, actor: str) -> Cluster:
        """Show it again. Raises as ``dismiss`` does."""
        return self._decide(cluster_id, ClusterState.OPEN, "restored", actor)

    def _decide(self, cluster_id: str, state: ClusterState, action: str, actor: str) -> Cluster:
        def work(session: Session) -> None:
            row = row_of(session, cluster_id)
            if row.state == ClusterState.INTENT:
                raise ClusterTaken(f"{row.id} is the intent {row.intent!r}")
            if row.state != state:
                row.state = state.value
                note(session, self._clock(), action, row.id, "", actor)

        self._store.write(work)
        return self.find(cluster_id)


def _with_ids(ids: Sequence[str]) -> Select[ClusterRow]:
    return select(ClusterRow).where(ClusterRow.id.in_(ids))


def _unseen(session: Session, cluster: str) -> list[str]:
    """Exchanges of a made intent that nobody looked at; few, while many are in review."""
    of = (
        select(ExchangeRow.id)
        .join(MemberRow, MemberRow.exchange == ExchangeRow.seq)
        .where(MemberRow.cluster == cluster)
    )
    waiting = of.where(ExchangeRow.state == ExchangeState.IN_REVIEW.value).subquery()
    room = _REVIEWED - (session.scalar(select(func.count()).select_from(waiting)) or 0)
    fresh = of.where(ExchangeRow.state == ExchangeState.CAPTURED.value)
    return [*session.scalars(fresh.order_by(ExchangeRow.seq.desc()).limit(max(room, 0)))]
