"""One write to the registry: lookups, new rows, legal moves and the lines of history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, and_, cast, delete, or_, select
from sqlalchemy.orm import Session

from adapters.aliases import engine_name
from adapters.errors import Conflict, RegistryError, UnknownAlias, UnknownVersion
from adapters.evaluation import gate_result
from adapters.registry.lifecycle import State, require
from adapters.registry.models import AliasRow, CandidateRow, ControlRow, HistoryRow, VersionRow

FORGOTTEN = "forgotten: "
"""How the error of a version begins that may not come back."""


class Transaction:
    """What the methods of ``Registry`` share while the write lock is held."""

    def __init__(self, session: Session, now: datetime, actor: str, control: ControlRow) -> None:
        self.session = session
        self.now = now
        self._actor = actor
        self.control = control
        self.moves: list[tuple[VersionRow, State]] = []
        """Versions that were moved, each with the state that it was in before."""

    def next_epoch(self) -> int:
        """Take the next epoch; every change that routers must apply has its own."""
        self.control.epoch += 1
        return self.control.epoch

    def alias(self, name: str) -> AliasRow:
        row = self.session.get(AliasRow, name)
        if row is None:
            raise UnknownAlias(name)
        return row

    def version(self, alias: str, digest: str) -> VersionRow:
        row = self.known(alias, digest)
        if row is None:
            raise UnknownVersion(alias, digest)
        return row

    def known(self, alias: str, digest: str) -> VersionRow | None:
        return self.session.scalar(
            select(VersionRow).where(VersionRow.alias == alias, VersionRow.digest == digest)
        )

    def ensure_alias(self, name: str) -> None:
        if self.session.get(AliasRow, name) is None:
            self.session.add(
                AliasRow(name=name, epoch=0, intents=[], created_at=self.now, updated_at=self.now)
            )
            self.session.flush()

    def new_version(self, alias: str, digest: str) -> VersionRow:
        row = VersionRow(
            alias=alias,
            digest=digest,
            name=engine_name(alias, digest),
            state=State.RECEIVED.value,
            base="",
            plan="live",
            plan_percent=0.0,
            manifest={},
            checks=[],
            author=self._actor,
            error="",
            left_epoch=0,
            created_at=self.now,
            updated_at=self.now,
        )
        self.session.add(row)
        return row

    def name_is_free(self, alias: str, digest: str) -> None:
        """Raise ``RegistryError`` when other content of the alias shares the engine name."""
        name = engine_name(alias, digest)
        taken = self.session.scalar(select(VersionRow.digest).where(VersionRow.name == name))
        if taken is not None and taken != digest:
            raise RegistryError(f"{name} already names the version {taken}", code="name-collision")

    def move(self, row: VersionRow, to: State, *, detail: str = "", action: str = "move") -> None:
        """Move a version along a legal edge and write it down.

        Raises ``IllegalMove``, and ``Conflict`` for one that was forgotten.
        """
        require_remembered(row)
        before = State(row.state)
        require(before, to)
        row.state = to.value
        row.updated_at = self.now
        self.moves.append((row, before))
        self.note(action, row.alias, row.digest, before.value, to.value, detail)

    def demote(self, alias: str, digest: str, to: State, detail: str) -> None:
        """Move a version that was live out of the way."""
        version = self.version(alias, digest)
        self.move(version, to, action="demote", detail=detail)
        version.left_epoch = self.control.epoch
        if to is State.QUARANTINED:
            version.error = detail

    def stamp(self, row: AliasRow) -> None:
        """Have routers learn of the alias's change: it belongs to the present epoch."""
        row.epoch = self.control.epoch
        row.updated_at = self.now

    def drop_candidate(self, alias: str, digest: str) -> None:
        self.session.execute(
            delete(CandidateRow).where(CandidateRow.alias == alias, CandidateRow.digest == digest)
        )

    def note(
        self,
        action: str,
        alias: str,
        digest: str | None,
        before: str | None,
        after: str | None,
        detail: str = "",
    ) -> None:
        """Append one line of history."""
        self.session.add(
            HistoryRow(
                at=self.now,
                actor=self._actor,
                action=action,
                alias=alias,
                digest=digest,
                before=before,
                after=after,
                epoch=self.control.epoch,
                detail=detail,
            )
        )


def require_remembered(row: VersionRow) -> None:
    """Raise ``Conflict`` for a version that may not come back."""
    if row.error.startswith(FORGOTTEN):
        raise Conflict(
            f"{row.name} may not come back: {row.error.removeprefix(FORGOTTEN)}",
            code="version-forgotten",
            remedy="Train another one on what may be learned from.",
        )


def forget_refused(tx: Transaction, keep: int) -> None:
    """Know only the newest ``keep`` of the versions that never came as far as the store.

    An alias goes with its last version, unless something of it could be called once. What was
    forbidden to come back stays forbidden. Their lines of history stay.
    """
    nowhere = or_(
        VersionRow.state == State.REJECTED.value,
        and_(
            VersionRow.state.in_([State.FAILED.value, State.RETIRED.value]),
            cast(VersionRow.manifest, String) == "{}",
        ),
    )
    surplus = (
        select(VersionRow)
        .where(nowhere, VersionRow.error.not_like(f"{FORGOTTEN}%"))
        .order_by(VersionRow.updated_at.desc(), VersionRow.id.desc())
        .offset(keep)
    )
    for row in tx.session.scalars(surplus).all():
        tx.session.delete(row)
        tx.session.flush()
        left = select(VersionRow.id).where(VersionRow.alias == row.alias).limit(1)
        alias = tx.alias(row.alias)
        if alias.epoch == 0 and tx.session.scalar(left) is None:
            tx.session.delete(alias)
            tx.session.flush()


_LEARNT = frozenset({"base", "manifest", "checks", "error", "effect", "load_seconds"})


def learn(row: VersionRow, facts: dict[str, Any]) -> None:
    """Put what was learnt of a version into its row. Raises ``TypeError`` for an unknown name.

    Why a version may not come back stays written, whatever else is learnt.
    """
    if row.error.startswith(FORGOTTEN):
        facts.pop("error", None)
    plan = facts.pop("plan", None)
    if plan is not None:
        row.plan, row.plan_percent = plan.stage, plan.percent
    for name, value in facts.items():
        if name not in _LEARNT:
            raise TypeError(f"a version has no fact {name!r}")
        setattr(row, name, value)
    if "manifest" in facts:
        result = gate_result(row.manifest.get("evaluation") or {})
        row.gate = None if result is None else result.model_dump(mode="json")
