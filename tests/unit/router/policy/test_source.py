"""Rules in a router: fetched by version, swapped at once; without them nothing is answered."""

from __future__ import annotations

import asyncio

import pytest

from adapters.aliases import PolicyVersions, RoutingTable
from router.policy.load import version_of
from router.policy.source import PolicySource, PolicyUnavailable

ONE, TWO = b"rules: [{id: one, deny: x}]", b"rules: [{id: two, deny: x}]"


class Registry:
    """Has files; may be out of reach."""

    def __init__(self, *files: bytes) -> None:
        self.files = {version_of(each): each for each in files}
        self.fetched: list[str] = []
        self.woken = 0
        self.broken = False

    async def fetch(self, version: str) -> bytes:
        """A file."""
        self.fetched.append(version)
        if self.broken:
            raise OSError("nobody answers")
        return self.files[version]

    def wake(self) -> None:
        """Somebody wants something."""
        self.woken += 1


def table(
    active: bytes | None = None, shadow: bytes | None = None, revision: int = 1
) -> RoutingTable:
    """A table that names rules."""
    named = [version_of(each) if each is not None else "" for each in (active, shadow)]
    return RoutingTable(revision=revision, policy=PolicyVersions(active=named[0], shadow=named[1]))


@pytest.fixture
def registry() -> Registry:
    """With both files."""
    return Registry(ONE, TWO)


@pytest.fixture
def source(registry: Registry) -> PolicySource:
    """That has heard nothing."""
    return PolicySource(registry.fetch, registry.wake)


def test_before_a_table_came_nothing_is_answered(source: PolicySource) -> None:
    """It might be what rules forbid."""
    with pytest.raises(PolicyUnavailable):
        source.current()
    source.heard(RoutingTable())
    with pytest.raises(PolicyUnavailable):
        source.current()


def test_without_rules_there_is_nothing_to_fetch(source: PolicySource, registry: Registry) -> None:
    """A table that names none is an answer."""
    source.heard(table())
    assert source.current().active.version == ""
    assert not registry.woken


async def test_rules_that_hold_are_waited_for(source: PolicySource, registry: Registry) -> None:
    """Until they are here, nothing is answered; then they hold."""
    source.heard(table(ONE))
    assert registry.woken == 1
    with pytest.raises(PolicyUnavailable):
        source.current()
    registry.broken = True
    with pytest.raises(OSError, match="nobody"):
        await source.refresh()
    registry.broken = False
    await source.refresh()
    assert source.current().active.version == version_of(ONE)


async def test_a_router_waits_for_its_rules_before_it_takes_requests(
    source: PolicySource, registry: Registry
) -> None:
    """But not for ever."""
    assert not await source.settle(0.01)
    source.heard(table(ONE))
    waiting = asyncio.create_task(source.settle(10))
    await asyncio.sleep(0)
    assert not waiting.done()
    await source.refresh()
    assert await waiting


async def test_the_old_version_finishes_its_requests(
    source: PolicySource, registry: Registry
) -> None:
    """A request keeps what it got; a new one gets the new version as soon as it is here."""
    source.heard(table(ONE))
    await source.refresh()
    request = source.current()
    source.heard(table(TWO, revision=2))
    assert source.current() is request
    await source.refresh()
    assert request.active.file.rules[0].id == "one"
    assert source.current().active.file.rules[0].id == "two"
    source.heard(table(ONE, TWO, revision=3))
    await source.refresh()
    assert source.current().shadow is not None
    assert registry.fetched == [version_of(each) for each in (ONE, TWO, ONE)]


async def test_a_shadow_that_cannot_be_fetched_stops_nothing(
    source: PolicySource, registry: Registry
) -> None:
    """It is only tried."""
    del registry.files[version_of(TWO)]
    source.heard(table(ONE, TWO))
    await source.refresh()
    assert source.current().active.version == version_of(ONE)
    assert source.current().shadow is None


async def test_what_is_not_the_file_that_was_named_is_not_used(
    source: PolicySource, registry: Registry
) -> None:
    """A version is its content."""
    registry.files[version_of(ONE)] = TWO
    source.heard(table(ONE))
    with pytest.raises(ValueError, match="not the policy"):
        await source.refresh()
    with pytest.raises(PolicyUnavailable):
        source.current()
