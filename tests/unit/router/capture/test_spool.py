"""The spool: what it took survives ``kill -9``, room is bounded, what others left is taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.corpus.delivery import Afterwards, from_line, to_line
from router.capture.spool import Line, Spool
from tests.fakes.corpus import exchange

_WRITER = """
import sys
from pathlib import Path
from adapters.corpus.delivery import Afterwards, to_line
from router.capture.spool import Line, Spool

spool = Spool(Path(sys.argv[1]), "victim", 2**24)
for number in range(100_000):
    lines = [Line(to_line(Afterwards(f"dec_{number}_{n}", ("x",), {"fill": "y" * 300})), n == 0)
             for n in range(3)]
    spool.add(lines)
    print(number, flush=True)
"""


def line(name: str, *, urgent: bool = False, fill: int = 0, subject: str = "") -> Line:
    """One entry."""
    subjects = (subject,) if subject else ()
    told = Afterwards(name, ("x",), {"fill": "y" * fill}, subjects, 1.0)
    return Line(to_line(told), urgent)


def names(lines: list[bytes]) -> list[str]:
    """Whose entries these are."""
    return [from_line(each).decision_id for each in lines]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An empty one."""
    made = Spool(tmp_path / "capture", "own", 2**20)
    yield made
    made.close()


def test_entries_come_back_as_they_were(spool: Spool) -> None:
    """Those that matter first; each until it is acknowledged."""
    given = exchange("A?", decision_id="dec_1", subjects=("a" * 64,))
    spool.add([line("plain"), Line(to_line(given), urgent=True)])
    batch = spool.next(2**20)
    assert from_line(batch.lines[0]) == given
    assert names(batch.lines) == ["dec_1", "plain"]
    assert names(spool.next(2**20).lines) == ["dec_1", "plain"]
    spool.add([line("later")])
    spool.done(batch)
    assert names(spool.next(2**20).lines) == ["later"]
    assert spool.waiting == 1


def test_a_batch_is_bounded_but_never_empty(spool: Spool) -> None:
    """Whole files, the oldest first."""
    for number in range(8):
        spool.add([line(f"{number}", fill=70_000)])
    seen: list[str] = []
    while (batch := spool.next(150_000)).paths:
        assert sum(map(len, batch.lines)) <= 300_000
        seen += names(batch.lines)
        spool.done(batch)
    assert seen == [str(number) for number in range(8)]
    assert (spool.size, spool.waiting) == (0, 0)


def test_what_matters_stays_when_there_is_no_room(spool: Spool) -> None:
    """The oldest that is only sampled goes first; then the oldest of all."""
    for number in range(30):
        spool.add([line(f"urgent-{number}", urgent=True, fill=10_000)])
    for number in range(200):
        spool.add([line(f"plain-{number}", fill=10_000)])
    assert spool.size <= 2**20
    left = names(spool.next(2**21).lines)
    assert left[:30] == [f"urgent-{number}" for number in range(30)]
    assert left[-1] == "plain-199"
    assert spool.dropped == 230 - len(left)
    for number in range(200):
        spool.add([line(f"more-{number}", urgent=True, fill=10_000)])
    assert spool.size <= 2**20
    left = names(spool.next(2**21).lines)
    assert left[-1] == "more-199"
    assert not any(name.startswith("plain") for name in left)
    spool.add([line("late", fill=200_000)])
    assert "late" not in names(spool.next(2**21).lines)


def test_what_a_killed_process_took_is_all_there(tmp_path: Path) -> None:
    """Everything that ``add`` returned for, and a torn line is passed over."""
    root = tmp_path / "capture"
    child = subprocess.Popen([sys.executable, "-c", _WRITER, str(root)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        for _ in range(60):
            acknowledged = int(child.stdout.readline())
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(60)
    acknowledged = max([acknowledged, *map(int, child.stdout.read().split()[:-1])])
    child.stdout.close()
    torn = next((root / "victim").glob("*-1-*.jsonl"))
    with torn.open("ab") as file:
        file.write(b'{"kind": "afterwards", "entry": {"deci')
    survivor = Spool(root, "survivor", 2**24)
    try:
        assert survivor.adopt() >= 3 * (acknowledged + 1)
        found = set()
        while (batch := survivor.next(2**16)).paths:
            found |= set(names(batch.lines))
            survivor.done(batch)
        assert found >= {f"dec_{n}_{k}" for n in range(acknowledged + 1) for k in range(3)}
        assert not (root / "victim").exists()
    finally:
        survivor.close()


def test_what_a_living_process_has_is_not_taken(tmp_path: Path) -> None:
    """Neither is its directory's name."""
    one, other = (Spool(tmp_path / "capture", name, 2**20) for name in ("one", "other"))
    one.add([line("mine")])
    assert other.adopt() == 0
    with pytest.raises(OSError, match="another process"):
        Spool(tmp_path / "capture", "one", 2**20).add([line("wrong")])
    assert names(one.next(2**20).lines) == ["mine"]
    one.close()
    assert other.adopt() == 1
    assert names(other.next(2**20).lines) == ["mine"]
    other.close()


def test_spools_that_begin_beside_each_other_all_begin(tmp_path: Path) -> None:
    """A neighbour's look into a directory that has just been made does not fail its owner."""
    stop = threading.Event()

    def looks() -> None:
        neighbour = Spool(tmp_path, "neighbour", 2**20)
        while not stop.is_set():
            neighbour.adopt()
        neighbour.close()

    looking = threading.Thread(target=looks)
    looking.start()
    try:
        for number in range(200):
            spool = Spool(tmp_path, f"router-{number}", 2**20)
            spool.add([line(f"dec_{number}")])
            assert spool.waiting == 1
            spool.done(spool.next(2**20))
            spool.close()
    finally:
        stop.set()
        looking.join()


def test_it_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    """Under the same name, too; an empty one leaves nothing."""
    first = Spool(tmp_path / "capture", "own", 2**20)
    first.add([line("kept")])
    first.close()
    second = Spool(tmp_path / "capture", "own", 2**20)
    second.add([line("new")])
    batch = second.next(2**20)
    assert names(batch.lines) == ["kept", "new"]
    second.done(batch)
    second.close()
    assert list((tmp_path / "capture").iterdir()) == []


def test_a_person_is_erased_here_and_in_what_others_left(tmp_path: Path) -> None:
    """From files and their names; others' entries stay."""
    left = Spool(tmp_path / "capture", "left", 2**20)
    left.add([line("hers", subject="a" * 64), line("his", subject="b" * 64)])
    left.close()
    spool = Spool(tmp_path / "capture", "own", 2**20)
    spool.add([line("hers-too", subject="a" * 64), line("nobody's")])
    assert spool.erase(lambda subjects: "a" * 64 in subjects) == 2
    assert spool.of(lambda subjects: "a" * 64 in subjects) == 0
    batch = spool.next(2**20)
    assert sorted(names(batch.lines)) == ["his", "nobody's"]
    assert spool.waiting == 2
    held = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert b"a" * 64 not in held
    spool.close()


def test_a_full_disk_is_said_and_leaves_no_half_line(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before stays readable, and it goes on when there is room again."""
    spool.add([line("before")])
    real = os.write
    room = [120]

    def write(handle: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        written = real(handle, bytes(data)[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        spool.add([line("does not fit", fill=500)])
    room[0] = 2**20
    spool.add([line("after")])
    assert names(spool.next(2**20).lines) == ["before", "after"]


def test_a_line_that_is_too_long_is_dropped(spool: Spool) -> None:
    """And counted; the registry would not take it."""
    spool.add([line("too long", fill=3 * 2**20), line("fits")])
    assert names(spool.next(2**22).lines) == ["fits"]
    assert spool.dropped == 1
