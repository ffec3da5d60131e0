"""The record of distillations, on both databases: bounds, moves, leases, lineage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.distill import distillations
from adapters.distill.distillations import Distillations, Ended, UnknownDistillation, Wish
from adapters.distill.lineage import Lineage
from adapters.distill.states import ENDED, MOVES, DistillState
from adapters.events import EventBus
from adapters.flywheel.database import FlywheelStore
from tests.fakes.corpus import at_once
from tests.fakes.learning_loop import row
from tests.fakes.postgres import NewDatabase

_S = DistillState
RETURNS = Wish(alias="returns", intent="returns", settings={"rank": 8}, author="ops")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FlywheelStore]:
    """The loop's database."""
    url = f"sqlite:///{tmp_path / 'flywheel.db'}"
    if request.param == "postgresql":
        new: NewDatabase = request.getfixturevalue("postgres")
        url = new()
    opened = FlywheelStore.open(url, at_once)
    yield opened
    opened.close()


def test_a_whole_life(store: FlywheelStore) -> None:
    """What is written is read again; each change of state is told."""
    events = EventBus()
    record = Distillations(store, events, lambda: 5.0)
    asked = record.ask(RETURNS)
    assert record.find(asked.id) == asked
    begun = record.begin(asked.id, dataset="d" * 64)
    assert begun is not None
    record.note(asked.id, step=4, steps=9, loss=0.5, eta_s=12.0)
    record.move(asked.id, _S.PACKAGING)
    record.move(asked.id, _S.GATING, digest="a" * 64)
    done = record.move(asked.id, _S.REFUSED, "too few", gate={"n_missing": 7})
    assert record.find(asked.id) == done
    assert (done.step, done.steps, done.loss, done.eta_s, done.ended_at) == (4, 9, 0.5, None, 5.0)
    assert (done.dataset, done.digest, done.gate) == ("d" * 64, "a" * 64, {"n_missing": 7})
    assert record.newest("returns") == done
    assert record.newest("returns", [_S.LIVE]) is None
    assert record.trained_on(["d" * 64]) == [done]
    told = [(e.kind, e.data["state"]) for e in events.since(0)]
    assert told[0] == ("distillation", "queued")
    assert told[-1] == ("distillation", "refused")
    with pytest.raises(UnknownDistillation):
        record.find("dst_none")


def test_one_lease_for_each_alias(store: FlywheelStore) -> None:
    """Taken with the training, given back when that is over, whatever its end."""
    record = Distillations(store)
    first, second, other = record.ask(RETURNS), record.ask(RETURNS), record.ask(Wish("other", "o"))
    assert record.begin(first.id, dataset="d" * 64) is not None
    assert record.begin(second.id, dataset="d" * 64) is None
    assert record.begin(other.id, dataset="d" * 64) is not None, "another alias has its own"
    record.move(first.id, _S.CANCELLED)
    assert record.begin(second.id, dataset="d" * 64) is not None
    record.move(second.id, _S.QUEUED)
    third = record.ask(RETURNS)
    assert record.begin(third.id, dataset="d" * 64) is not None


@pytest.mark.parametrize("state", sorted(ENDED))
def test_what_has_ended_stays_there(store: FlywheelStore, state: DistillState) -> None:
    """No edge leads out of an end."""
    assert not MOVES[state]
    record = Distillations(store)
    asked = record.ask(RETURNS)
    if state is _S.CANCELLED:
        record.move(asked.id, state)
        for wanted in _S:
            with pytest.raises(Ended):
                record.move(asked.id, wanted)


def test_the_oldest_ends_are_forgotten(
    store: FlywheelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what is still under way."""
    monkeypatch.setattr(distillations, "_KEPT", 3)
    record = Distillations(store)
    waiting = record.ask(RETURNS)
    for _ in range(6):
        record.move(record.ask(RETURNS).id, _S.CANCELLED)
    kept = record.page(100)
    assert waiting.id in {each.id for each in kept}
    assert len(kept) <= 5
    pages = [each.id for each in record.page(2)]
    pages += [each.id for each in record.page(100, record.page(2)[-1].number)]
    assert pages == [each.id for each in kept]


def test_lineage_is_written_once(store: FlywheelStore) -> None:
    """With its ancestors; the same again changes nothing."""
    record, lineage = Distillations(store), Lineage(store, lambda: 5.0)
    made = record.ask(Wish("returns", "returns", dataset="d" * 64))
    rows = [row(1), row(2, reviewers=("ana", "bo")), row(3, split="test", teacher="")]
    grandparent, parent, digest = "a" * 64, "b" * 64, "c" * 64
    facts = {"base": "tiny", "rows": rows, "settings": {"rank": 8}}
    lineage.put(made, grandparent, parent=None, **facts)  # type: ignore[arg-type]
    lineage.put(made, parent, parent=grandparent, **facts)  # type: ignore[arg-type]
    for _ in range(2):
        lineage.put(made, digest, parent=parent, **facts)  # type: ignore[arg-type]
    found = lineage.of("returns", digest)
    assert found is not None
    assert found.parents == (parent, grandparent)
    assert (found.splits, found.reviewers) == ({"train": 2, "test": 1}, {"ana": 3, "bo": 1})
    assert (found.teacher, found.teachers) == ("frontier:cloud/big", {"frontier:cloud/big": 2})
    assert {origin.digest for origin in lineage.trained_on(["d" * 64])} == {
        grandparent,
        parent,
        digest,
    }
    assert lineage.of("returns", "f" * 64) is None
