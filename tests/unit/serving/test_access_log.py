"""The access log: a line for each request, never in the way, never without bound."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from router.audit.decision import to_json
from serving.config.settings import Settings
from serving.telemetry import access_log
from serving.telemetry.access_log import AccessLog


@pytest.fixture
def dropped() -> Counter:
    """Counts lines that found the buffer full."""
    return Counter("dropped", "Lines.", registry=CollectorRegistry())


def log_of(dropped: Counter, root: Path, **log: Any) -> AccessLog:
    """A log below ``root``."""
    return AccessLog(Settings.model_validate({"state_dir": root, "log": log}), dropped)


def lines_of(root: Path) -> list[dict[str, Any]]:
    """Every line that was written, oldest file first."""
    files = sorted((root / "logs").glob("requests-*.jsonl*"), reverse=True)
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


async def test_a_line_for_each_request(tmp_path: Path, dropped: Counter) -> None:
    """Each record becomes one JSON line, in order, marked as a request."""
    log = log_of(dropped, tmp_path)
    log.write(to_json({"id": "dec_1", "text": "zwei\nZeilen"}))
    log.write(to_json({"id": "dec_2"}))
    await log.aclose()
    assert [line["id"] for line in lines_of(tmp_path)] == ["dec_1", "dec_2"]
    assert lines_of(tmp_path)[0]["event"] == "request"


async def test_lines_come_by_themselves(tmp_path: Path, dropped: Counter) -> None:
    """Nobody has to close the log for its lines to arrive."""
    log = log_of(dropped, tmp_path)
    log.start()
    log.write(to_json({"id": "dec_1"}))
    async with asyncio.timeout(10):
        while not (tmp_path / "logs").exists() or not lines_of(tmp_path):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await log.aclose()
    assert len(lines_of(tmp_path)) == 1


async def test_the_end_loses_nothing(tmp_path: Path, dropped: Counter) -> None:
    """Lines that were written just before the end, or while others were on their way, are kept."""
    log = log_of(dropped, tmp_path)
    log.start()
    for number in range(2000):
        log.write(to_json({"id": number}))
        if number % 100 == 0:
            await asyncio.sleep(0.005)
    await log.aclose()
    assert [line["id"] for line in lines_of(tmp_path)] == list(range(2000))


async def test_the_buffer_is_bounded(
    tmp_path: Path, dropped: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk cannot follow is dropped and counted, newest first (law 9)."""
    monkeypatch.setattr(access_log, "_MAX_BUFFERED", 3)
    log = log_of(dropped, tmp_path)
    for number in range(5):
        log.write(to_json({"id": number}))
    assert dropped._value.get() == 2
    await log.aclose()
    assert [line["id"] for line in lines_of(tmp_path)] == [0, 1, 2]


async def test_a_disk_that_fails(tmp_path: Path, dropped: Counter) -> None:
    """A place that cannot be written stops nothing, and the log goes on once it can."""
    (tmp_path / "logs").write_text("not a directory")
    log = log_of(dropped, tmp_path)
    log.write(to_json({"id": 1}))
    await log._flush()
    (tmp_path / "logs").unlink()
    log.write(to_json({"id": 2}))
    await log.aclose()
    assert lines_of(tmp_path)[-1]["id"] == 2


async def test_files_rotate(tmp_path: Path, dropped: Counter) -> None:
    """A file of full size is set aside; of those only so many are kept."""
    log = log_of(dropped, tmp_path, max_file_bytes=1024, files_kept=2)
    for number in range(12):
        log.write(to_json({"id": number, "padding": "x" * 600}))
        await log._flush()
    await log.aclose()
    names = sorted(path.name.partition(".jsonl")[2] for path in (tmp_path / "logs").iterdir())
    assert names == ["", ".1", ".2"]
    kept = [line["id"] for line in lines_of(tmp_path)]
    assert kept == list(range(12 - len(kept), 12))


async def test_standard_error(
    tmp_path: Path, dropped: Counter, capfd: pytest.CaptureFixture[str]
) -> None:
    """In `stderr` mode lines go there, for a collector, and to no file."""
    log = log_of(dropped, tmp_path, destination="stderr")
    log.write(to_json({"id": "dec_1"}))
    await log.aclose()
    assert json.loads(capfd.readouterr().err)["id"] == "dec_1"
    assert not (tmp_path / "logs").exists()
