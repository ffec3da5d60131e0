"""Erasures: done until nothing is left, across failures and restarts; the name goes last."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.records import erasures
from adapters.records.erasures import Erasures, TooMany
from adapters.records.line import Kind
from adapters.records.signing import read_keys
from adapters.records.subjects import Subjects
from adapters.records.verify import verify
from adapters.records.writer import RecordLog
from tests.fakes.records import begin, end, reader, records, running_log

NAME = "Zora Quell"


class Shelf:
    """A room with a few things of one person; ``broken`` fails after half of them."""

    counted_as = "documents"

    def __init__(self, things: int) -> None:
        self.things = things
        self.broken = False

    async def found(self, subject: str) -> int:
        return self.things if subject == NAME else 0

    async def erase(self, subject: str) -> int:
        count = await self.found(subject)
        if self.broken:
            raise OSError("the disk is full")
        self.things = 0
        return count


class Others:
    """Every other process; ``silent`` ones do not answer."""

    def __init__(self) -> None:
        self.silent = False
        self.asked = 0

    async def __call__(self, subject: str) -> Counter[str]:
        self.asked += 1
        if self.silent:
            raise ConnectionError(f"nobody erased {subject}")
        return Counter(vault=2)


def hers(log: RecordLog, number: int) -> None:
    """A request of hers."""
    name = Subjects(log.layout.root).hash(NAME)
    log.add(begin(number, subjects=[name]))
    entry = end(number)
    fields = {**entry.fields, "subjects": [name]}
    log.add(replace(entry, fields=fields))


def names(root: Path) -> list[str]:
    """Files that hold the name."""
    files = (path for path in root.rglob("*") if path.is_file())
    return [path.name for path in files if NAME.encode() in path.read_bytes()]


async def test_what_fails_is_tried_again_and_counted_once(tmp_path: Path) -> None:
    """A room that breaks, a silent process, a restart: then a certificate over all of it."""
    shelf, others, told = Shelf(3), Others(), list[tuple[str, str]]()
    root = tmp_path / "audit"
    with running_log(root) as log:
        hers(log, 1)
        await log.flushed()

        def opened() -> Erasures:
            return Erasures(
                tmp_path / "erasures", log, [shelf], others, lambda i, s: told.append((i, s))
            )

        made = opened().ask(NAME, "boss", "req_1")
        assert (made.state, made.shown().get("subject")) == ("queued", None)
        assert names(tmp_path) == [f"{made.id}.json"]
        shelf.broken = True
        with pytest.raises(OSError, match="full"):
            await opened().work()
        assert opened().find(made.id).state == "failed"  # type: ignore[union-attr]
        shelf.broken, others.silent = False, True
        with pytest.raises(ConnectionError):
            await opened().work()
        failed = opened().find(made.id)
        assert failed is not None
        assert failed.found["documents"] == 3
        assert failed.reason is not None
        assert NAME not in failed.reason
        others.silent = False
        await opened().work()
        done = opened().find(made.id)
        assert done is not None
        assert (done.state, done.subject, done.reason) == ("done", None, None)
        assert (done.found["documents"], done.found["vault"]) == (3, 2)
        assert done.also == {"records": 1}
        assert done.certificate is not None
        [key] = read_keys(root)
        assert key.vouches(done.certificate)
        assert done.certificate["subject_hash"] == Subjects(root).hash(NAME)
        assert [state for _, state in told] == [
            "queued",
            "running",
            "failed",
            "running",
            "failed",
            "running",
            "done",
        ]
        await opened().work()
        assert others.asked == 2  # nothing is left to do
        [found] = reader(log).newest(Kind.END, "decision_id", "dec_1")
        assert found.payload is None
    assert names(tmp_path) == []
    [event] = [each for each in records(root) if each["kind"] == "erasure"]
    assert (event["erasure"], event["actor"]) == (made.id, "boss")
    verdict = verify(root)
    assert (verdict.problems, verdict.erased) == ([], 1)


async def test_a_process_that_ends_between_two_rooms_loses_no_count(tmp_path: Path) -> None:
    """The next one finds nothing any more in the first room, and certifies what was there."""

    class Ending(Shelf):
        async def erase(self, subject: str) -> int:
            raise asyncio.CancelledError(subject)

    with running_log(tmp_path / "audit") as log:

        def opened(*rooms: Shelf) -> Erasures:
            return Erasures(tmp_path / "erasures", log, rooms, Others())

        shelf = Shelf(3)
        made = opened(shelf, Ending(1)).ask(NAME, "boss", None)
        with pytest.raises(asyncio.CancelledError):
            await opened(shelf, Ending(1)).work()
        assert shelf.things == 0
        await opened(shelf).work()
        done = opened().find(made.id)
    assert done is not None
    assert (done.state, done.found["documents"]) == ("done", 3)


async def test_so_many_are_taken_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded; those that are done do not count."""
    monkeypatch.setattr(erasures, "_MAX_OPEN", 2)
    with running_log(tmp_path / "audit") as log:
        found = Erasures(tmp_path / "erasures", log, [], Others())
        found.ask("Ann", None, None)
        found.ask("Bob", None, None)
        with pytest.raises(TooMany):
            found.ask("Cid", None, None)
        await found.work()
        assert found.ask("Cid", None, None).state == "queued"
    assert found.find("era_none") is None
    assert found.find(f"era_{'0' * 24}") is None


async def test_databases_are_written_anew_once_for_all_that_are_under_way(tmp_path: Path) -> None:
    """Also where a process died after the rooms were empty, and until it succeeds."""
    shelf, others, done = Shelf(3), Others(), list[int]()

    def rewrite() -> None:
        done.append(shelf.things)
        if len(done) == 1:
            raise OSError("a reader is in the way")

    with running_log(tmp_path / "audit") as log:
        erasing = Erasures(tmp_path / "erasures", log, [shelf], others, rewrite=rewrite)
        asked = [erasing.ask(name, None, None).id for name in (NAME, "Abe Stone")]
        with pytest.raises(OSError, match="in the way"):
            await erasing.work()
        found = [erasing.find(each) for each in asked]
        assert [each.state for each in found if each] == ["failed", "failed"]
        assert others.asked == 0, "nothing is certified before"
        again = Erasures(tmp_path / "erasures", log, [shelf], others, rewrite=rewrite)
        await again.work()
        found = [again.find(each) for each in asked]
        assert [each.state for each in found if each] == ["done", "done"]
        assert done == [0, 0], "once each time, after the rooms"
        await again.work()
        assert len(done) == 2, "nothing is under way"


async def test_of_what_is_done_the_newest_stay(tmp_path: Path) -> None:
    """What is under way stays anyhow."""
    others = Others()
    with running_log(tmp_path / "audit") as log:
        erasing = Erasures(tmp_path / "erasures", log, [], others, kept=2)
        asked = []
        for number in range(4):
            asked.append(erasing.ask(f"Person {number}", None, None).id)
            await erasing.work()
        assert [erasing.find(each) is not None for each in asked] == [False, False, True, True]
        assert erasing.done == 2
        others.silent = True
        waits = erasing.ask("Person 5", None, None)
        with pytest.raises(ConnectionError):
            await Erasures(tmp_path / "erasures", log, [], others, kept=1).work()
        assert {each.id for each in erasing.all()} == {asked[3], waits.id}
