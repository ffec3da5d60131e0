"""What a routing table is made of, read in one go."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.registry.lifecycle import CALLABLE, State
from adapters.registry.models import BRIEF, AliasRow, CandidateRow, ControlRow, VersionRow, brief
from adapters.registry.policies import versions_now
from adapters.registry.records import Snapshot

_RETIRED_NAMED = 16
"""Versions per alias that routers still know by name after they left."""
_UNUSED = (State.REJECTED, State.RETIRED, State.FAILED, State.QUARANTINED)


def read_snapshot(session: Session) -> Snapshot:
    """Aliases, callable and unfinished versions, and candidates at one moment."""
    # Columns, not rows: manifests and checks are most of the bytes, and nobody here reads them.
    # Every routing table begins with this.
    versions = select(*BRIEF).where(VersionRow.state.not_in([state.value for state in _UNUSED]))
    control = session.scalars(select(ControlRow)).one()
    policy, shadow_policy = versions_now(session)
    return Snapshot(
        epoch=control.epoch,
        writer=control.writer,
        base_id=control.base_id,
        aliases=tuple(
            row.record() for row in session.scalars(select(AliasRow).order_by(AliasRow.name))
        ),
        versions=tuple(brief(row) for row in session.execute(versions.order_by(VersionRow.id))),
        candidates=tuple(
            row.record()
            for row in session.scalars(select(CandidateRow).order_by(CandidateRow.epoch))
        ),
        retired=_once_callable(session),
        policy=policy,
        shadow_policy=shadow_policy,
    )


def _once_callable(session: Session) -> dict[str, tuple[str, ...]]:
    newest = func.row_number().over(
        partition_by=VersionRow.alias, order_by=VersionRow.left_epoch.desc()
    )
    once = (
        select(VersionRow.alias, VersionRow.digest, newest.label("place"))
        .where(
            VersionRow.left_epoch > 0,
            VersionRow.state.not_in([state.value for state in CALLABLE]),
        )
        .subquery()
    )
    few = select(once.c.alias, once.c.digest).where(once.c.place <= _RETIRED_NAMED)
    found: dict[str, tuple[str, ...]] = {}
    for alias, digest in session.execute(few.order_by(once.c.alias, once.c.place)):
        found[alias] = (*found.get(alias, ()), digest)
    return found
