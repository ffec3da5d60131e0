"""Checkpoints: over all writers, by any process, in an order that anybody can make again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.records import checkpoints, merkle
from adapters.records.files import Layout
from adapters.records.sealing import Sealer
from adapters.records.signing import Signer, read_keys
from adapters.records.tree import CHUNK, Incomplete, Tree
from adapters.records.verify import verify
from tests.fakes.records import begin, fill, lines, records, running_log

ROOT = Path(__file__).resolve().parents[4]


def sealer(root: Path, **more: object) -> Sealer:
    """Another process's."""
    return Sealer(Layout(root), Signer(root), **more)  # type: ignore[arg-type]


def rebuilt(root: Path) -> list[bytes]:
    """The leaves in order, from the segments and the checkpoints alone; every root compared."""
    hashes = {(each["writer"], each["sequence"]): each["hash"] for each in records(root)}
    found: list[bytes] = []
    kept = [line for _, line in checkpoints.read(Layout(root)).lines]
    for line, added in checkpoints.order(kept):
        for each in added:
            assert each.begin == len(found)
            span = range(each.first, each.last + 1)
            found += [bytes.fromhex(hashes[each.writer, sequence]) for sequence in span]
        assert len(found) == line.tree_size
        assert merkle.root_of(found).hex() == line.root
    return found


async def test_all_writers_are_under_one_root_whoever_signs(tmp_path: Path) -> None:
    """Two processes write and sign in turn, a third only signs; nothing is left out or twice."""
    with running_log(tmp_path, "one", segment_bytes=4096) as one:
        for count in range(3):
            await fill(one, 20)
            with running_log(tmp_path, f"other-{count}") as two:
                await fill(two, 7)
                sealer(tmp_path).seal()
            one.sealer.seal()
    assert len(rebuilt(tmp_path)) == len(records(tmp_path))
    keys = {key.key_id: key for key in read_keys(tmp_path)}
    for text in lines(tmp_path / "checkpoints.jsonl"):
        document = json.loads(text)
        assert keys[document["key_id"]].vouches(document)
        assert document.keys() >= {"tree_size", "root", "heads", "time", "key_id", "signature"}
    assert verify(tmp_path).problems == []


async def test_a_checkpoint_is_signed_in_time_even_when_nothing_is_new(tmp_path: Path) -> None:
    """That nothing came is news too; one that is young enough is not repeated."""
    now = [1_800_000_000.0]
    with running_log(tmp_path) as log:
        await fill(log, 1)
        mine, theirs = (sealer(tmp_path, every_s=30.0, clock=lambda: now[0]) for _ in range(2))
        first = mine.tick()
        assert first is not None
        now[0] += 29.0
        assert theirs.tick() == first
        now[0] += 1.0
        second = theirs.tick()
        assert second is not None
        assert (second.tree_size, second.root) == (first.tree_size, first.root)
        assert (second.at - first.at, second.prev) == (30.0, first.digest)
        assert mine.tick() == second


async def test_a_clock_that_is_set_back_stops_no_checkpoints(tmp_path: Path) -> None:
    """The newest is of tomorrow: that does not make it new enough for a day."""
    now = [1_800_000_000.0]
    with running_log(tmp_path) as log:
        await fill(log, 1)
        signing = sealer(tmp_path, every_s=30.0, clock=lambda: now[0])
        first = signing.tick()
        assert first is not None
        now[0] -= 86_400.0
        second = signing.tick()
        assert second is not None
        assert (second.at, signing.newest_s) == (now[0], now[0])
        now[0] += 29.0
        assert signing.tick() == second
    assert verify(tmp_path).problems == []


async def test_what_was_never_signed_is_signed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full after the leaves were written: the next attempt starts from the files."""
    with running_log(tmp_path) as log:
        await fill(log, 5)
        first = log.sealer.seal()
        assert first is not None
        await fill(log, 5)
        with monkeypatch.context() as patched:

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patched.setattr(checkpoints, "append", full)
            with pytest.raises(OSError, match="No space"):
                log.sealer.seal()
        log.add(begin(7))
        await log.flushed()
        second = log.sealer.seal()
        assert second is not None
        assert second.tree_size == first.tree_size + 11
    assert len(rebuilt(tmp_path)) == len(records(tmp_path))
    assert verify(tmp_path).problems == []


async def test_records_that_do_not_continue_the_chain_are_never_vouched_for(
    tmp_path: Path,
) -> None:
    """Changed between two checkpoints: the second one ends before it."""
    with running_log(tmp_path) as log:
        await fill(log, 5)
        assert log.sealer.seal() is not None
        await fill(log, 5)
    [path] = (tmp_path / "segments").iterdir()
    (tmp_path / "checkpoints.jsonl").unlink()
    found = lines(path)
    path.write_bytes(b"".join([*found[:12], *found[13:]]))
    made = sealer(tmp_path).seal()
    assert made is not None
    assert made.tree_size == 12


def test_a_tree_on_disk_is_the_tree(tmp_path: Path) -> None:
    """Over files of leaves, in steps of every size: roots and proofs as computed in memory."""
    tree, size, frontier = Tree(tmp_path / "tree"), 0, merkle.Frontier()
    for step in (1, 5, 250, 256, 1000, CHUNK - 1600, 300, 3):
        leaves = [b"%032d" % number for number in range(size, size + step)]
        for leaf in leaves:
            frontier.append(leaf)
        assert tree.extend(size, leaves).root() == frontier.root()
        size += step
        index = size * 2 // 3
        path = merkle.inclusion_path(index, size, tree.subtree)
        leaf = b"%032d" % index
        assert merkle.root_from_path(leaf, index, size, path) == frontier.root()
    assert tree.size() == size
    assert tree.leaves(CHUNK - 2, CHUNK + 2) == [b"%032d" % n for n in range(CHUNK - 2, CHUNK + 2)]
    tree.trim(CHUNK + 1)
    assert merkle.frontier_of(size, tree.subtree).root() == frontier.root()
    with pytest.raises(Incomplete):
        tree.leaves(0, 1)
    with pytest.raises(Incomplete):
        tree.extend(size + CHUNK, [b"x" * 32])


SEALING = """
import asyncio, sys, threading
from pathlib import Path
from adapters.records.config import RecordsConfig
from adapters.records.writer import RecordLog
from tests.fakes.records import begin, end

async def main():
    config = RecordsConfig(sync_ms=1, segment_bytes=16384, kept_bytes=200_000)
    log = RecordLog(Path(sys.argv[1]), sys.argv[2], config)
    log.start()
    stop = threading.Event()

    def seal():
        while not stop.wait(0.001):
            log.sealer.seal(even_if_nothing_is_new=True)

    threading.Thread(target=seal, daemon=True).start()
    for number in range(1_000_000):
        log.add(begin(number))
        log.add(end(number))
        await log.flushed()
        print(number, flush=True)

asyncio.run(main())
"""


def test_a_kill_in_the_middle_of_a_checkpoint_leaves_nothing_that_counts(tmp_path: Path) -> None:
    """Killed again and again while it writes, signs and removes old files: always whole."""
    for life in range(5):
        command = [sys.executable, "-c", SEALING, str(tmp_path), f"life-{life}"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        try:
            while int(process.stdout.readline()) < 40 + 37 * life:
                pass
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        before = verify(tmp_path).problems
        assert [each for each in before if each.kind != "truncated"] == []  # a torn last line
    with running_log(tmp_path, "last"):
        pass
    verdict = verify(tmp_path)
    assert verdict.problems == []
    assert verdict.checkpoints > 5
    newest = checkpoints.newest(Layout(tmp_path))
    assert newest is not None
    assert newest.tree_size == verdict.tree_size
