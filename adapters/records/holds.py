"""Legal holds: what may neither be removed by retention nor erased, as long as somebody says so."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from adapters.atomic import write_file
from adapters.records.files import Layout, Segment
from adapters.records.index import SegmentIndex, Tail, key_of, load
from adapters.records.line import Kind, Record, seconds

HOLDS_FILE: Final = "holds.json"
_MAX_HOLDS: Final = 10_000
_KINDS: Final = (Kind.BEGIN, Kind.END)


class Hold(BaseModel):
    """What is kept: everything that fits all that is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    subject_hash: str | None = None
    tenant: str | None = None
    since: str | None = Field(default=None, description="ISO time; not before")
    until: str | None = Field(default=None, description="ISO time; not after")
    reason: str = ""
    by: str | None = None
    time: str

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any((self.subject_hash, self.tenant, self.since, self.until)):
            raise ValueError("a hold names a subject, a tenant or a time")
        return self

    @property
    def span(self) -> tuple[float, float]:
        """The times that it covers, seconds since the epoch."""
        until = float("inf") if self.until is None else seconds(self.until)
        return (0.0 if self.since is None else seconds(self.since)), until

    def covers(self, record: Record) -> bool:
        """Whether a record is to be kept."""
        first, last = self.span
        if self.subject_hash is not None and self.subject_hash not in record.get("subjects", ()):
            return False
        if self.tenant is not None and record.get("tenant") != self.tenant:
            return False
        return first <= seconds(record["time"]) <= last


_LIST = TypeAdapter(list[Hold])


class Holds:
    """Of one log's directory; every process reads what any of them wrote."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = layout.root / HOLDS_FILE

    @property
    def root(self) -> Path:
        """The log's directory."""
        return self._layout.root

    def all(self) -> list[Hold]:
        """Every hold, the oldest first. Raises ``OSError``, also for a damaged list."""
        try:
            return _LIST.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except ValidationError as error:
            raise OSError(f"{self._path} is no list of holds") from error

    def add(self, hold: Hold) -> None:
        """Keep what it covers, from now on; again is no change.

        Raises ``OSError``, ``ValueError`` for too many.
        """
        with self.locked():
            found = self.all()
            if any(each.id == hold.id for each in found):
                return
            if len(found) >= _MAX_HOLDS:
                raise ValueError(f"there are {_MAX_HOLDS} holds already")
            self._write([*found, hold])

    def remove(self, identity: str) -> bool:
        """Let go of what one covers; False when there is none. Raises ``OSError``."""
        with self.locked():
            found = self.all()
            left = [each for each in found if each.id != identity]
            if len(left) < len(found):
                self._write(left)
            return len(left) < len(found)

    def of_subject(self, subject_hash: str) -> list[Hold]:
        """Those that name a person and nothing else: all of that person's data is kept."""
        return [
            each
            for each in self.all()
            if each.subject_hash == subject_hash
            and (each.tenant, each.since, each.until) == (None, None, None)
        ]

    def covers(self, segment: Segment) -> bool:
        """Whether a file has a record that is to be kept. Raises ``OSError``."""
        found = self.all()
        if not found:
            return False
        size = self._layout.records_of(segment).stat().st_size
        index: SegmentIndex | None = load(self._layout, segment, size)
        if index is None:
            tail = Tail(self._layout, segment)
            tail.follow()
            index = tail.index
        return any(_has(index, hold) for hold in found)

    def _write(self, holds: list[Hold]) -> None:
        write_file(self._path, _LIST.dump_json(holds))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody adds or removes one meanwhile, in any process. Raises ``OSError``."""
        self._layout.make()
        path: Path = self._layout.root / ".holds.lock"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _has(index: SegmentIndex, hold: Hold) -> bool:
    first, last = hold.span
    lines: set[int] | range = range(index.count())
    for name, value in (("subject", hold.subject_hash), ("tenant", hold.tenant)):
        if value is not None:
            keys = (key_of(f"{kind}/{name}", value) for kind in _KINDS)
            named = {line for key in keys for line in index.lines_of(key)}
            lines = named & set(lines)
    return any(first <= index.place(line).at <= last for line in lines)
