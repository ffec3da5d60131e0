"""Rules files in the registry: what holds, since when and by whom, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.errors import Superseded
from adapters.registry import Registry
from adapters.registry.policies import SOURCES_KEPT, NoPolicyBefore, NoShadow, UnknownPolicy
from tests.fakes.postgres import NewDatabase

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture(params=["sqlite", "postgresql"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """An empty one."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'registry.db'}"
    else:
        new: NewDatabase = request.getfixturevalue("postgres")
        url = new()
    opened = Registry.open(url)
    yield opened
    opened.close()


def versions(registry: Registry) -> tuple[str, str]:
    """What routing tables say."""
    snapshot = registry.snapshot()
    return snapshot.policy, snapshot.shadow_policy


def test_the_newest_file_holds_and_history_says_who(registry: Registry) -> None:
    """Each change is a new epoch, so that routers take it for new."""
    assert versions(registry) == ("", "")
    assert registry.policies.now() is None
    before = registry.epoch()
    registry.policies.put(A, "rules: []", by="ann")
    registry.policies.put(B, "rules: []  # ü", by="bob")
    assert versions(registry) == (B, "")
    assert registry.epoch() == before + 2
    assert [(each.actor, each.action, each.active) for each in registry.policies.history()] == [
        ("bob", "put", B),
        ("ann", "put", A),
    ]
    assert registry.policies.record(B).source == "rules: []  # ü"
    assert registry.policies.record(B).author == "bob"


def test_putting_what_holds_changes_nothing(registry: Registry) -> None:
    """No new epoch, no line of history."""
    registry.policies.put(A, "x", by="ann")
    epoch = registry.epoch()
    registry.policies.put(A, "x", by="bob")
    assert registry.epoch() == epoch
    assert len(registry.policies.history()) == 1


def test_rollback_goes_back_one_after_the_other(registry: Registry) -> None:
    """Not to and fro, and never to no rules at all."""
    for version in (A, B, C):
        registry.policies.put(version, version, by="ann")
    assert registry.policies.rollback(by="bob").active == B
    assert registry.policies.rollback(by="bob").active == A
    with pytest.raises(NoPolicyBefore):
        registry.policies.rollback(by="bob")
    assert versions(registry) == (A, "")
    registry.policies.put(C, C, by="ann")
    assert registry.policies.rollback(by="bob").active == A


def test_the_shadow_is_promoted_or_replaced(registry: Registry) -> None:
    """What holds stays until then."""
    with pytest.raises(NoShadow):
        registry.policies.promote(by="ann")
    registry.policies.put(A, "a", by="ann")
    registry.policies.put(B, "b", by="ann", shadow=True)
    assert versions(registry) == (A, B)
    registry.policies.put(C, "c", by="ann", shadow=True)
    assert registry.policies.promote(by="bob").active == C
    assert versions(registry) == (C, "")
    assert registry.policies.rollback(by="bob").active == A


def test_old_files_are_forgotten_but_not_that_they_were_there(registry: Registry) -> None:
    """What holds, what a rollback wants next and the newest are kept."""
    registry.policies.put(A, "a", by="ann")
    for number in range(SOURCES_KEPT + 5):
        registry.policies.put(f"{number:064d}", "x", by="bob", shadow=True)
    assert registry.policies.record(A).source == "a"
    with pytest.raises(UnknownPolicy):
        registry.policies.record(f"{0:064d}")
    assert registry.policies.record(f"{SOURCES_KEPT + 4:064d}").source == "x"
    assert len(registry.policies.history(limit=1000)) == SOURCES_KEPT + 6


def test_a_superseded_registry_changes_no_rules(tmp_path: Path) -> None:
    """One writer (law 13)."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    old, new = Registry.open(url), Registry.open(url)
    old.policies.put(A, "a", by="ann")
    new.claim()
    with pytest.raises(Superseded):
        old.policies.put(B, "b", by="ann")
    assert versions(new) == (A, "")
    old.close()
    new.close()
