"""Copies on a node: bounded in bytes and number, and never cleared while somebody needs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import obstore
import pytest

from adapters.config import StagingSettings
from adapters.errors import NotInStore, StoreFull
from adapters.format.manifest import Manifest, digest_directory
from adapters.store.objects import ObjectStore
from adapters.store.staging import StagingArea
from tests.fakes.tiny_adapter import tiny_adapter


class Node:
    """A node that may keep three copies of versions in a bucket."""

    def __init__(self, root: Path, limits: StagingSettings) -> None:
        self.root = root
        self.limits = limits
        self.bucket = obstore.store.MemoryStore()
        self.digests: list[str] = []
        writer = ObjectStore(self.bucket, "memory:///", StagingArea(root / "w", StagingSettings()))
        for seed in range(6):
            adapter = tiny_adapter(root / "pushed" / str(seed), seed)
            self.digests.append(digest_directory(adapter))
            writer.put(adapter, "returns", self.digests[-1], Manifest())

    def process(self) -> ObjectStore:
        """The store as one more process of the node sees it."""
        return ObjectStore(self.bucket, "memory:///", StagingArea(self.root / "n", self.limits))

    @property
    def there(self) -> list[int]:
        """Numbers of the versions that lie on the node."""
        copies = (self.root / "n" / ".versions" / "returns").glob("[!.]*")
        return sorted(self.digests.index(path.name) for path in copies)

    def used(self, number: int, at: float) -> None:
        """Say when a copy was used last."""
        os.utime(self.root / "n" / ".locks" / f"returns@{self.digests[number]}", (at, at))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Its staging area is empty."""
    return Node(tmp_path, StagingSettings(max_versions=3))


def test_the_least_recently_used_leaves(node: Node) -> None:
    """Before the fourth arrives, not after."""
    store = node.process()
    for number in range(3):
        store.lease("returns", node.digests[number]).release()
        node.used(number, 1000.0 + number)
    node.used(0, 2000.0)
    store.lease("returns", node.digests[3]).release()
    assert node.there == [0, 2, 3]
    assert store.staged().versions == 3
    assert not list((node.root / "n" / ".locks").glob(f"*{node.digests[1]}")), "its lock too"


def test_a_copy_in_use_stays_whoever_uses_it(node: Node) -> None:
    """Another replica on the node holds the oldest: the next one leaves in its stead."""
    other, store = node.process(), node.process()
    held = other.lease("returns", node.digests[0])
    for number in (1, 2):
        store.lease("returns", node.digests[number]).release()
    for number in range(3):
        node.used(number, 1000.0 + number)
    store.lease("returns", node.digests[3]).release()
    assert node.there == [0, 2, 3]
    assert digest_directory(held.path) == node.digests[0]
    other.delete("returns", node.digests[0])
    assert 0 in node.there, "nor does a deletion take it away under an engine"


def test_a_node_whose_copies_are_all_in_use_says_so(node: Node) -> None:
    """The bound holds; the error names the setting. What is let go makes room again."""
    store = node.process()
    leases = [store.lease("returns", digest) for digest in node.digests[:3]]
    with pytest.raises(StoreFull) as full:
        store.lease("returns", node.digests[3])
    assert (full.value.code, "adapters.staging" in full.value.remedy) == ("staging-full", True)
    leases[1].release()
    store.lease("returns", node.digests[3]).release()
    assert node.there == [0, 2, 3]


def test_bytes_are_bounded_too_and_a_writer_counts(tmp_path: Path) -> None:
    """Two versions fit; while one is still being written only one other does."""
    node = Node(tmp_path, StagingSettings())
    with node.process().lease("returns", node.digests[0]):
        size = node.process().staged().size_bytes
    node.limits = StagingSettings(max_bytes=2 * size + size // 2)
    area = StagingArea(node.root / "n", node.limits)
    place = area.copies.reserve("returns", size)
    store = node.process()
    store.lease("returns", node.digests[1]).release()
    assert node.there == [1], "the first made room: the reservation counts"
    place.rmdir()
    store.lease("returns", node.digests[2]).release()
    assert node.there == [1, 2]
    assert store.staged().size_bytes <= node.limits.max_bytes


def test_many_who_want_one_copy_fetch_it_once(node: Node) -> None:
    """The others wait for the first."""
    fetched: list[str] = []
    area = StagingArea(node.root / "n", node.limits)
    source = node.process().lease("returns", node.digests[0]).path
    digest = node.digests[0]
    for path in [source, *source.iterdir()]:
        path.chmod(0o755)
    content = {path.name: path.read_bytes() for path in source.iterdir()}
    area.copies.delete("returns", digest)

    def fill(place: Path) -> Manifest:
        fetched.append(digest)
        for name, data in content.items():
            (place / name).write_bytes(data)
        return Manifest()

    def want() -> None:
        area.lease("returns", digest, lambda: 1, fill).release()

    threads = [threading.Thread(target=want) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert fetched == [digest]


def test_a_process_that_dies_lets_go(node: Node) -> None:
    """Its copies are the kernel's to unlock: no lease outlives its holder."""
    store = node.process()
    for number in range(3):
        store.lease("returns", node.digests[number]).release()
        node.used(number, 1000.0 + number)
    script = (
        "import sys, time; from pathlib import Path\n"
        "from adapters.config import StagingSettings\n"
        "from adapters.store.staging import StagingArea\n"
        "area = StagingArea(Path(sys.argv[1]), StagingSettings())\n"
        "lease = area.lease('returns', sys.argv[2], lambda: 0, lambda place: None)\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(node.root / "n"), node.digests[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        node.used(0, 1000.0)
        store.lease("returns", node.digests[3]).release()
        assert node.there == [0, 2, 3]
        holder.send_signal(signal.SIGKILL)
    node.used(0, 1000.0)
    store.lease("returns", node.digests[4]).release()
    assert 0 not in node.there


def test_what_cannot_be_had_leaves_nothing(node: Node) -> None:
    """No lock file for every name that somebody asked for."""
    with pytest.raises(NotInStore):
        node.process().lease("returns", "0" * 64)
    assert not list((node.root / "n" / ".locks").glob("returns@*"))


def test_a_lease_that_nobody_keeps_ends(node: Node) -> None:
    """An export that was never sent holds its files no longer than its answer lives."""
    lease = node.process().lease("returns", node.digests[0])
    del lease
    node.process().delete("returns", node.digests[0])
    assert node.there == []
