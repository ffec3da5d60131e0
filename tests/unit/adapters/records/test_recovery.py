"""Recovery: wherever a crash cut the files, the next start leaves a log that verifies."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from adapters.records.config import RecordsConfig
from adapters.records.files import Layout
from adapters.records.recovery import adopt
from adapters.records.verify import verify
from adapters.records.writer import RecordLog
from serving.telemetry.records import record_gauges
from tests.fakes.records import begin, end, files, fill, lines, whole_records


async def crashed(root: Path) -> Path:
    """A log whose process is gone, with two requests under way."""
    log = RecordLog(root, "gone", RecordsConfig(sync_ms=0, segment_bytes=8192))
    log.start()
    await fill(log, 12)
    log.add(begin(100))
    log.add(begin(101))
    log.add(end(102))
    await log.flushed()
    log._finish = lambda: None  # type: ignore[method-assign]
    log.close()
    assert log._file is not None
    log._file.close()
    assert not (root / "checkpoints.jsonl").exists()
    return root


async def test_who_starts_next_tells_that_it_found_some(tmp_path: Path) -> None:
    """An alert can see it: the gauge of who lost them is gone with its process."""
    root = await crashed(tmp_path / "log")
    log = RecordLog(root, "next", RecordsConfig(sync_ms=0))
    assert "graftwork_records_found_lost_seconds 0.0" in shown(log)
    log.start()
    await fill(log, 1)
    await log.flushed()
    log.close()
    assert log.found_lost_s > 0
    assert f"graftwork_records_found_lost_seconds {log.found_lost_s}" in shown(log)
    again = RecordLog(root, "after", RecordsConfig(sync_ms=0))
    again.start()
    await fill(again, 1)
    await again.flushed()
    again.close()
    assert again.found_lost_s == 0


def shown(log: RecordLog) -> str:
    """What `/metrics` says of it, numbers as they are."""
    gauges = record_gauges(log).collect()
    return "\n".join(f"{s.name} {s.value}" for family in gauges for s in family.samples)


@pytest.mark.parametrize("seed", range(12))
async def test_wherever_the_last_file_was_cut_the_log_is_whole_again(
    seed: int, tmp_path: Path
) -> None:
    """Records end with the last whole line; each begin that is left has an end; a second start
    finds nothing to do.
    """
    whole = await crashed(tmp_path / "whole")
    choose = random.Random(seed)
    last = files(whole)[-1]
    size = last.stat().st_size
    for place in {0, size, *(choose.randrange(size) for _ in range(8))}:
        root = tmp_path / f"cut-{place}"
        shutil.copytree(whole, root)
        with (root / "segments" / last.name).open("rb+") as file:
            file.truncate(place)
        assert list(adopt(Layout(root), "next", 1.0)) == ["gone"]
        assert verify(root).problems == [], place
        found = whole_records(root)
        begun = {each["decision_id"] for each in found if each["kind"] == "request.begin"}
        ended = {each["decision_id"] for each in found if each["kind"] == "request.end"}
        assert begun <= ended
        assert adopt(Layout(root), "another", 2.0) == {}
        assert lines(files(root)[-1])[-1].count(b'"closed"') == 1


async def test_a_crash_while_a_log_is_being_closed_is_closed_too(tmp_path: Path) -> None:
    """The closing records are cut themselves: whoever comes next goes on from there."""
    whole = await crashed(tmp_path / "whole")
    adopt(Layout(whole), "next", 1.0)
    shutil.rmtree(whole / "checkpoints.jsonl", ignore_errors=True)
    (whole / "checkpoints.jsonl").unlink(missing_ok=True)
    last = files(whole)[-1]
    for place in range(0, last.stat().st_size, 97):
        root = tmp_path / f"cut-{place}"
        shutil.copytree(whole, root)
        with (root / "segments" / last.name).open("rb+") as file:
            file.truncate(place)
        adopt(Layout(root), "another", 2.0)
        assert verify(root).problems == [], place
        ends = [each for each in whole_records(root) if each.get("outcome") == "lost"]
        assert sorted(each["decision_id"] for each in ends) == ["dec_100", "dec_101"]


async def test_payloads_that_went_down_with_the_machine_are_named(tmp_path: Path) -> None:
    """Records are waited for, payloads follow: after a power cut the newest may be missing."""
    root = await crashed(tmp_path / "whole")
    [*_, path] = sorted((root / "payloads").iterdir())
    kept = lines(path)
    path.write_bytes(b"".join(kept[:-2]) + kept[-2][:20] + b"\0" * 40)
    assert {problem.kind for problem in verify(root).problems} == {"removed"}
    adopt(Layout(root), "next", 1.0)
    assert verify(root).problems == []
    [told] = [each for each in whole_records(root) if each.get("about") == "payloads_lost"]
    assert len(told["payloads"]) == 2
    path.write_bytes(b"".join(kept[:-3]))
    assert len(verify(root).problems) == 1  # what went later is still a problem
