"""Logs to look at: written by the real writer, damaged as somebody would damage them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from adapters.records.config import RecordsConfig
from adapters.records.line import Entry, Kind, leaf_hash
from adapters.records.reader import RecordReader
from adapters.records.writer import RecordLog


@contextmanager
def running_log(root: Path, writer: str = "one", **config: Any) -> Iterator[RecordLog]:
    """A log that is written to, and closed in the end."""
    log = RecordLog(root, writer, RecordsConfig(**{"sync_ms": 0, **config}))
    log.start()
    try:
        yield log
    finally:
        log.close()


def reader(log: RecordLog) -> RecordReader:
    """What finds its records."""
    return RecordReader(log.layout, lambda: log.current)


def begin(number: int, **fields: Any) -> Entry:
    """The begin of a request."""
    at = 1_700_000_000.0 + number
    return Entry(Kind.BEGIN, at, f"req_{number}", f"dec_{number}", "app", fields)


def end(number: int, *, tenant: str = "shop", target: str = "base", padding: int = 10) -> Entry:
    """The end of a request, with its decision."""
    fields = {"outcome": "answered", "status": 200, "tenant": tenant, "target": target}
    payload = json.dumps({"id": f"dec_{number}", "padding": "x" * padding}).encode()
    at = 1_700_000_000.5 + number
    return Entry(Kind.END, at, f"req_{number}", f"dec_{number}", "app", fields, payload)


async def fill(log: RecordLog, requests: int, **more: Any) -> None:
    """Begin and end so many requests, durably."""
    for number in range(requests):
        log.add(begin(number))
        log.add(end(number, **more))
        if number % 5 == 4:  # groups of ten
            await log.flushed()
    await log.flushed()


def files(root: Path) -> list[Path]:
    """The segments, by name."""
    return sorted((root / "segments").iterdir())


def lines(path: Path) -> list[bytes]:
    """The lines of a file, with their ends."""
    return path.read_bytes().splitlines(keepends=True)


def records(root: Path) -> list[dict[str, Any]]:
    """Every record, by file and line."""
    return [json.loads(line) for path in files(root) for line in lines(path)]


def whole_records(root: Path) -> list[dict[str, Any]]:
    """Every record that can be read; torn lines are left out."""
    found = []
    for path in files(root):
        for line in lines(path):
            with suppress(ValueError):
                found.append(json.loads(line))
    return found


def rehashed(line: bytes, **changes: Any) -> bytes:
    """A record changed by somebody who knows how its own hash is made."""
    record = {**json.loads(line), **changes}
    record.pop("hash")
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    record["hash"] = leaf_hash(text.encode())
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"
