"""Intents that were made of clusters: their examples, and the document that routers learn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from adapters.corpus.cluster import ClusterState, ClusterTaken, Made
from adapters.corpus.cluster_models import ClusterRow, ExampleRow, MemberRow
from adapters.corpus.cluster_rows import row_of
from adapters.corpus.models import ExchangeRow
from adapters.corpus.placing import Placing, note
from adapters.corpus.questions import question, shortened
from adapters.corpus.rows import rows_of, seen
from adapters.corpus.writing import Limits, Writing
from adapters.flywheel.database import FlywheelStore

EXAMPLES: Final = 60
"""Of one cluster, those that are most like all others."""
_EXAMPLE: Final = 500
_MOST_MADE: Final = 200
"""Clusters that are intents."""


@dataclass(frozen=True, slots=True)
class Making:
    """What came of making a cluster an intent."""

    cluster: str
    exchanges: int
    """How many got the intent."""


class TooMany(ClusterTaken):
    """As many clusters are intents as may be."""

    code = "too-many-intents"
    remedy = "Undo some: DELETE /admin/v1/clusters/{id}/intent."


class Empty(ClusterTaken):
    """Its exchanges are gone, or may not be learned from any more."""

    code = "cluster-empty"
    remedy = "Wait until it grows, or take another one."


class Intents:
    """Methods block and are thread-safe.

    Args:
        store: the loop's database.
        placing: where vectors are seen from now.
        clock: seconds since the epoch.
        consents: whether what a tenant's exchanges hold may be learnt, now.
    """

    def __init__(
        self,
        store: FlywheelStore,
        placing: Callable[[Session], Placing],
        clock: Callable[[], float],
        consents: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._placing = placing
        self._clock = clock
        self._consents = consents

    def make(self, cluster_id: str, name: str, alias: str | None, actor: str) -> Making:
        """Make a cluster an intent, or a part of one; its exchanges get it.

        Raises ``UnknownCluster``, ``ClusterTaken``, ``TooMany``, ``Empty``.
        """

        def work(session: Session) -> Making:
            row = row_of(session, cluster_id)
            if row.state == ClusterState.INTENT:
                if (row.intent, row.alias) != (name, alias):
                    raise ClusterTaken(f"{row.id} is the intent {row.intent!r} already")
                return Making(row.id, 0)
            made = select(ClusterRow.id).where(ClusterRow.state == ClusterState.INTENT.value)
            if len(session.scalars(made.limit(_MOST_MADE)).all()) >= _MOST_MADE:
                raise TooMany(f"{_MOST_MADE} clusters are intents")
            placing = self._placing(session)
            row.state, row.intent, row.alias = ClusterState.INTENT.value, name, alias
            note(session, placing.now, "intent", row.id, name, actor)
            if not self._teach(session, placing, row):
                raise Empty(f"{row.id} has no example that an intent could be learned from")
            return Making(row.id, self.spread(session, [row.id]))

        return self._store.write(work)

    def unmake(self, cluster_id: str, actor: str) -> Making:
        """Undo it; its exchanges get the intents back that they had. Raises ``UnknownCluster``."""

        def work(session: Session) -> Making:
            row = row_of(session, cluster_id)
            if row.state != ClusterState.INTENT:
                raise ClusterTaken(
                    f"{row.id} is no intent", code="cluster-not-intent", remedy="Make it one first."
                )
            note(session, self._clock(), "intent-undone", row.id, row.intent or "", actor)
            back = self._give_back(session, row)
            row.state, row.intent, row.alias = ClusterState.OPEN.value, None, None
            session.execute(delete(ExampleRow).where(ExampleRow.cluster == row.id))
            return Making(row.id, back)

        return self._store.write(work)

    def spread(self, session: Session, cluster_ids: Iterable[str]) -> int:
        """Give the exchanges of these, where they are intents, their intent; how many got it."""
        given = 0
        for cluster_id in sorted(cluster_ids):
            row = session.get(ClusterRow, cluster_id)
            if row is None or row.state != ClusterState.INTENT or row.intent is None:
                continue
            query = (
                select(MemberRow, ExchangeRow.intent)
                .join(ExchangeRow, ExchangeRow.seq == MemberRow.exchange)
                .where(MemberRow.cluster == row.id, ExchangeRow.intent != row.intent)
            )
            others = session.execute(query).all()
            for member, was in others:
                member.was_about = was
            ids = [member.exchange_id for member, _ in others]
            given += _assign(session, ids, row.intent)
        return given

    def _teach(self, session: Session, placing: Placing, row: ClusterRow) -> bool:
        """Keep its best examples, which outlive the exchanges; whether there are any."""
        members = placing.members(row.id)
        order = placing.nearest(row, members) if members else []
        best = [members[place].exchange_id for place in order]
        there = {each.id: each for each in seen(session, rows_of(session, best))}
        texts: dict[str, str] = {}
        for identity in best:
            if identity not in there or not self._consents(there[identity].tenant):
                continue
            if len(texts) < EXAMPLES:
                text = shortened(question(there[identity].messages), _EXAMPLE)
                if text.strip():
                    texts.setdefault(text, identity)
        for text, identity in texts.items():
            session.add(
                ExampleRow(
                    cluster=row.id,
                    exchange_id=identity,
                    tenant=there[identity].tenant,
                    text=text,
                    subjects=json.dumps(there[identity].subjects),
                )
            )

        return bool(texts)

    def _give_back(self, session: Session, row: ClusterRow) -> int:
        query = (
            select(MemberRow)
            .join(ExchangeRow, ExchangeRow.seq == MemberRow.exchange)
            .where(
                MemberRow.cluster == row.id,
                MemberRow.was_about.is_not(None),
                ExchangeRow.intent == row.intent,
            )
        )
        by_intent: dict[str, list[str]] = {}
        for member in session.scalars(query):
            by_intent.setdefault(member.was_about or "", []).append(member.exchange_id)
            member.was_about = None
        return sum(_assign(session, ids, was) for was, ids in by_intent.items())

    # What routers learn

    def made(self) -> list[Made]:
        """The intents by name, each with the examples of all its clusters."""
        with self._store.read() as session:
            of = select(ClusterRow.id, ClusterRow.intent, ClusterRow.alias).where(
                ClusterRow.state == ClusterState.INTENT.value
            )
            rows = session.execute(of.order_by(ClusterRow.number)).all()
            texts: dict[str, list[str]] = {}
            examples = select(ExampleRow.cluster, ExampleRow.tenant, ExampleRow.text)
            for cluster, tenant, text in session.execute(
                examples.order_by(ExampleRow.cluster, ExampleRow.text)
            ):
                if text.strip() and self._consents(tenant):  # routers refuse what says nothing
                    texts.setdefault(cluster, []).append(text)
        found: dict[str, Made] = {}
        for cluster, intent, alias in rows:
            before = found.get(intent or "", Made(intent or "", None, ()))
            told = dict.fromkeys([*before.examples, *texts.get(cluster, ())])
            found[before.name] = Made(before.name, before.alias or alias, tuple(told))
        return [found[name] for name in sorted(found)]

    def document(self) -> tuple[str, bytes]:
        """What routers add to the intents of their configuration, and its digest; both empty
        when there is nothing.
        """
        made = self.made()
        if not made:
            return "", b""
        told: list[dict[str, Any]] = [
            {"name": each.name, "alias": each.alias, "examples": list(each.examples)}
            for each in made
        ]
        raw = json.dumps({"intents": told}, ensure_ascii=False, separators=(",", ":")).encode()
        return hashlib.sha256(raw).hexdigest(), raw

    # Erasure

    def of_person(self, subject: str, hashed: str) -> int:
        """How many examples carry a person's data or name."""
        with self._store.read() as session:
            return len(_of_person(session, subject, hashed))

    def forget(self, subject: str, hashed: str) -> int:
        """Remove them; how many there were."""

        def work(session: Session) -> int:
            rows = _of_person(session, subject, hashed)
            for row in rows:
                session.delete(row)
            return len(rows)

        return self._store.write(work)


def _of_person(session: Session, subject: str, hashed: str) -> list[ExampleRow]:
    name = subject.casefold()
    return [
        row
        for row in session.scalars(select(ExampleRow))
        if hashed in json.loads(row.subjects) or name in row.text.casefold()
    ]


def _assign(session: Session, exchange_ids: list[str], intent: str) -> int:
    """Nothing is taken in by this: how much there may be does not matter."""
    return Writing(session, Limits()).assign(exchange_ids, intent)
