"""Retention: the log stays within its bounds, what went is named, and the rest still verifies."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from adapters.records import retention
from adapters.records.config import RecordsConfig
from adapters.records.files import Layout
from adapters.records.holds import Hold, Holds
from adapters.records.line import Kind
from adapters.records.sealing import Sealer
from adapters.records.signing import Signer
from adapters.records.verify import verify
from tests.fakes.records import begin, end, files, fill, lines, reader, records, running_log

DAY_S = 86_400.0


def total(root: Path) -> int:
    """Bytes of every file of a log."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


async def test_the_oldest_segments_go_and_a_record_names_them(tmp_path: Path) -> None:
    """By size, over writers, again and again; the statement survives its own segment."""
    for writer in ("one", "two", "three"):
        with running_log(tmp_path, writer, segment_bytes=4096, kept_bytes=120_000) as log:
            await fill(log, 150)
            assert total(tmp_path) < 200_000
            assert verify(tmp_path).problems == []
    told = [each for each in records(tmp_path) if each.get("about") == "removed"]
    assert told
    assert told[-1]["removed"]["three"][0] >= 0
    assert verify(tmp_path).problems == []
    heads = [json.loads(line)["heads"] for line in lines(tmp_path / "checkpoints.jsonl")]
    Sealer(Layout(tmp_path), Signer(tmp_path)).trim()
    kept = [json.loads(line)["heads"] for line in lines(tmp_path / "checkpoints.jsonl")]
    assert 0 < len(kept) < len(heads)  # what speaks of nothing that is left is forgotten
    assert verify(tmp_path).problems == []
    # What went without a record's word is a problem still.
    gone = files(tmp_path)[0]
    gone.unlink()
    (tmp_path / "payloads" / gone.name).unlink()
    assert {problem.kind for problem in verify(tmp_path).problems} == {"removed"}


async def test_a_crash_between_the_word_and_the_deed_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that a record says are removed, and that are still there."""
    with running_log(tmp_path, segment_bytes=4096) as log:
        await fill(log, 30)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        with running_log(tmp_path, "two", segment_bytes=4096, kept_bytes=8192) as log:
            await fill(log, 30)
    assert [each for each in records(tmp_path) if each.get("about") == "removed"]
    assert verify(tmp_path).problems == []


async def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """By age; what a living process appends to stays, however old."""
    with running_log(tmp_path) as log:
        await fill(log, 3)
    [old] = files(tmp_path)
    os.utime(old, (1.0, 1.0))
    os.utime(tmp_path / "payloads" / old.name, (1.0, 1.0))
    with running_log(tmp_path, "two", kept_days=5.0) as log:
        await fill(log, 3)
        assert [path.name for path in files(tmp_path)] == ["two-000000.jsonl"]
        os.utime(files(tmp_path)[0], (1.0, 1.0))
        retention.prune(
            log.layout, RecordsConfig(kept_days=5.0), 100 * DAY_S, log._state, log.sealer
        )
        assert [path.name for path in files(tmp_path)] == ["two-000000.jsonl"]
    assert verify(tmp_path).problems == []


async def test_a_record_is_found_without_reading_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through sidecars that survive a restart: an unknown id reads no byte of the segments."""
    with running_log(tmp_path, segment_bytes=4096) as log:
        await fill(log, 60, tenant="bank", target="adapter:returns@0123456789ab")
        log.add(begin(100))
        log.add(end(100))
        await log.flushed()
    with running_log(tmp_path, "two") as log:
        log.add(begin(101))
        await log.flushed()
        looking = reader(log)
        sizes = [path.stat().st_size for path in files(tmp_path)]
        read: list[Path] = []
        really = Path.open

        def spied(path: Path, *args: object, **more: object) -> object:
            read.append(path)
            return really(path, *args, **more)  # type: ignore[call-overload]

        monkeypatch.setattr(Path, "open", spied)
        assert list(looking.newest(Kind.END, "decision_id", "dec_none")) == []
        assert [path for path in read if path.suffix == ".jsonl"] == []
        assert len(sizes) > 4
        found = [each.record["decision_id"] for each in looking.newest(Kind.END, "tenant", "shop")]
        assert found == ["dec_100"]
        for target in ("adapter:returns", "adapter:returns@0123456789ab"):
            assert len(list(looking.newest(Kind.END, "target", target))) == 60
        late = 1_700_000_000.0 + 50
        assert len(list(looking.newest(Kind.END, "tenant", "bank", since_s=late))) == 10


async def test_a_lost_index_is_made_again(tmp_path: Path) -> None:
    """From the segments; a damaged or foreign one is not believed."""
    with running_log(tmp_path, segment_bytes=4096) as log:
        await fill(log, 60)
    sidecars = sorted((tmp_path / "index").iterdir())
    assert len(sidecars) == 2 * len(files(tmp_path))
    for number, path in enumerate(sidecars):
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(b"\x93NUMPY nonsense")
    with running_log(tmp_path, "two") as log:
        looking = reader(log)
        for number in (0, 31, 59):
            [found] = looking.newest(Kind.END, "decision_id", f"dec_{number}")
            assert found.payload == end(number).payload
    assert len(list((tmp_path / "index").iterdir())) == len(sidecars)
    assert (tmp_path / "index" / "one-000001.lines.npy").stat().st_size > 100


HELD: dict[str, dict[str, str]] = {
    "a person": {"subject_hash": "ab" * 32},
    "a tenant": {"tenant": "bank"},
    "a time": {"since": "2023-11-14T22:13:00Z", "until": "2023-11-14T22:13:30Z"},
    "a person at that time": {"subject_hash": "ab" * 32, "until": "2023-11-14T22:13:30Z"},
}


@pytest.mark.parametrize("name", HELD)
async def test_what_is_on_hold_stays_and_goes_when_it_is_released(
    name: str, tmp_path: Path
) -> None:
    """Whatever the bounds say; other writers' files go, and the log stays whole."""
    holds = Holds(Layout(tmp_path))
    hold = Hold(id="hold_1", time="2023-11-14T22:13:00Z", **HELD[name])
    other = Hold(id="hold_2", time="2023-11-14T22:13:00Z", tenant="nobody")
    with running_log(tmp_path, "kept") as log:
        log.add(begin(0, tenant="bank", subjects=["ab" * 32]))
        log.add(end(0, tenant="bank"))
        await log.flushed()
    with running_log(tmp_path, "free") as log:
        log.add(begin(500, tenant="shop"))
        await log.flushed()
    for path in files(tmp_path):
        os.utime(path, (1.0, 1.0))
        os.utime(tmp_path / "payloads" / path.name, (1.0, 1.0)) if path.name[0] == "k" else None
    holds.add(other)
    holds.add(hold)
    with running_log(tmp_path, "next", kept_days=5.0) as log:
        await fill(log, 1)
        assert [path.name[:4] for path in files(tmp_path)] == ["kept", "next"]
        holds.remove("hold_1")
        log._prune()
        assert [path.name[:4] for path in files(tmp_path)] == ["next"]
    assert verify(tmp_path).problems == []


async def test_no_hold_comes_between_the_look_and_the_deed(tmp_path: Path) -> None:
    """Who was told that something is kept would not find it: the hold is answered for later."""
    with running_log(tmp_path, "old") as log:
        await fill(log, 3)
    told: list[str] = []

    def hold() -> None:
        made = Hold(id="hold_1", tenant="shop", time="2026-01-01T00:00:00Z")
        Holds(Layout(tmp_path)).add(made)
        told.append("held")

    with running_log(tmp_path, "new") as log:
        await fill(log, 1)
        holding = threading.Thread(target=hold)

        def state(fields: dict[str, object]) -> None:
            holding.start()
            holding.join(0.2)
            told.append("removed")
            log._state(fields)

        config = RecordsConfig(kept_bytes=4096)
        assert retention.prune(log.layout, config, 0.0, state, log.sealer) == 1
        holding.join()
    assert told == ["removed", "held"]
    assert verify(tmp_path).problems == []
