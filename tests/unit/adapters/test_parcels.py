"""Pushes that wait where other nodes find them: kept whole, taken up, and gone with the push."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import obstore
import pytest

from adapters.errors import StoreError
from adapters.publish.waiting import WaitingRoom
from adapters.registry.lifecycle import State
from adapters.store.parcels import Parcels, open_parcels
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.fleet import FakeFleet
from tests.fakes.tiny_adapter import BASE

DIGEST = "a" * 64


def parcels(bucket: obstore.store.MemoryStore, folder: Path) -> Parcels:
    """As one node reaches them."""
    return Parcels(bucket, "waiting", folder)


@pytest.fixture
def bucket() -> obstore.store.MemoryStore:
    """What all nodes share."""
    return obstore.store.MemoryStore()


@pytest.fixture
def pushed(tmp_path: Path) -> Path:
    """Something to wait."""
    directory = tmp_path / "pushed"
    (directory / "within").mkdir(parents=True)
    (directory / "adapter_config.json").write_text("{}")
    (directory / "within" / "a").write_bytes(b"\x00" * 3000)
    return directory


def test_another_node_finds_what_waits(
    bucket: obstore.store.MemoryStore, pushed: Path, tmp_path: Path
) -> None:
    """With all its files, until it leaves."""
    here = WaitingRoom(tmp_path / "here", 5, parcels(bucket, tmp_path / "here"))
    there = WaitingRoom(tmp_path / "there", 5, parcels(bucket, tmp_path / "there"))
    here.take(pushed, "returns", DIGEST)
    assert here.missing() == []
    (entry,) = there.missing()
    assert (entry.alias, entry.digest) == ("returns", DIGEST)
    there.bring(entry)
    assert there.missing() == []
    (found,) = there.entries()
    assert (found.path / "adapter_config.json").read_text() == "{}"
    assert (found.path / "within" / "a").read_bytes() == b"\x00" * 3000
    there.leave(found)
    assert there.entries() == there.missing() == []
    assert parcels(bucket, tmp_path).names() == []


def test_a_store_that_is_away_accepts_and_forgets_nothing(
    bucket: obstore.store.MemoryStore,
    pushed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The push waits here alone; what must go is not said to be gone while a copy is there."""
    room = WaitingRoom(tmp_path / "here", 5, parcels(bucket, tmp_path / "here"))

    def away(*_: object) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr("adapters.store.parcels.obstore.put", away)
    room.take(pushed, "returns", DIGEST)
    (entry,) = room.entries()
    monkeypatch.setattr("adapters.store.parcels.obstore.delete", away)
    with pytest.raises(StoreError):
        room.leave(entry)
    assert room.entries() == [entry]


def test_only_a_store_that_others_reach_keeps_them(tmp_path: Path) -> None:
    """A directory beside the state is lost with it."""
    assert open_parcels(str(tmp_path / "store"), tmp_path / "state", tmp_path) is None
    found = open_parcels((tmp_path / "shared").as_uri(), tmp_path / "state", tmp_path)
    assert found is not None
    assert found.names() == []


@pytest.fixture
async def nodes(
    bucket: obstore.store.MemoryStore, tmp_path: Path
) -> AsyncIterator[tuple[AdapterPath, AdapterPath]]:
    """One registry that waits for an engine, and the next one, on another node."""
    made = []
    for name in ("first", "second"):
        path = AdapterPath(
            tmp_path / name, FakeFleet("r0"), base=None, parcels=lambda root: parcels(bucket, root)
        )
        made.append(path)
    yield made[0], made[1]
    for path in made:
        await path.aclose()


async def test_a_registry_on_another_node_goes_on_with_what_waited(
    nodes: tuple[AdapterPath, AdapterPath],
) -> None:
    """The node with the queue is lost; nobody has to push again."""
    first, second = nodes
    outcome = await first.rollout.push("returns", first.adapter(1))
    assert outcome.state is State.RECEIVED
    await first.aclose()
    first.fork(second)
    second.base = BASE
    await second.rollout.resume()
    await second.idle()
    assert second.registry.version("returns", outcome.digest).state is State.LIVE
    assert second.rollout.queue.room.entries() == second.rollout.queue.room.missing() == []
