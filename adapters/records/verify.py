"""Tells whether a log is what was written: every record hashed, counted and chained anew.

What a later change looks like: a record or payload ``altered``; records or files ``removed``,
``inserted``, ``reordered``; a file ``replaced`` by another one; an end that was ``truncated``. What
retention removed, what a crash tore and what was erased are no problems where a record says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from adapters.records import checkpoints, payloads
from adapters.records.files import Layout, Segment, by_writer, is_held, parse_name
from adapters.records.line import GENESIS, Kind, Record, read_line, recomputed
from adapters.records.retention import removals

ProblemKind = Literal["altered", "removed", "inserted", "reordered", "truncated", "replaced"]


class Unreadable(Exception):
    """There is no log to verify; the message says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One change, and where it is."""

    writer: str
    sequence: int | None
    file: str
    kind: ProblemKind
    detail: str


@dataclass(slots=True)
class Verdict:
    """What a verification found."""

    records: int = 0
    checkpoints: int = 0
    """Lines of ``checkpoints.jsonl``, each compared with the record that it names."""
    erased: int = 0
    """Payloads that an erasure blanked."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was changed."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ok": self.ok,
            "records": self.records,
            "checkpoints": self.checkpoints,
            "erased": self.erased,
            "problems": [asdict(problem) for problem in self.problems],
        }


@dataclass(slots=True)
class _Said:
    """What records say of files and payloads, gathered in a first pass."""

    removed: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """By writer: what retention removed last: segment number, sequence, hash."""
    torn: set[tuple[str, int, int, str]] = field(default_factory=set)
    """File, offset, bytes and SHA-256 of what a crash left."""
    erased: set[tuple[str, int]] = field(default_factory=set)
    """Writer and sequence of records whose payload was erased."""
    lost: set[tuple[str, int]] = field(default_factory=set)
    """Writer and sequence of records whose payload went down with the machine."""


def verify(root: Path) -> Verdict:
    """Verify a log's directory; also while it is written to. Raises ``Unreadable``."""
    layout = Layout(root)
    if not layout.segments.is_dir():
        raise Unreadable(f"{root} is no log: it has no directory named segments")
    try:
        try:
            verdict = _verified(layout)
        except FileNotFoundError:  # retention was faster
            verdict = _verified(layout)
        if not verdict.ok and any(is_held(layout.records_of(s)) for s in layout.found()):
            # An erasure or a removal may have come between two looks: what stays is a problem.
            verdict = _verified(layout)
    except OSError as error:
        raise Unreadable(f"{root} cannot be read: {error}") from error
    return verdict


def _verified(layout: Layout) -> Verdict:
    # Checkpoints first: whoever writes to the log meanwhile writes them last.
    told = checkpoints.read(layout)
    segments, verdict = layout.found(), Verdict(checkpoints=told.lines)
    verdict.problems += _strangers(layout)
    said = _said(layout, segments)
    for writer, found in by_writer(segments).items():
        heads = told.heads.pop(writer, {})
        _Chain(layout, writer, said, heads, verdict).verify(found)
    name = layout.checkpoints.name
    for number in told.damaged:
        detail = f"line {number} is no checkpoint"
        verdict.problems.append(Problem("", None, name, "altered", detail))
    for writer, heads in told.heads.items():
        newest = max(heads)
        if newest > said.removed.get(writer, (0, -1, ""))[1]:
            detail = "a checkpoint names its records, and it has no files"
            verdict.problems.append(Problem(writer, newest, name, "removed", detail))
    return verdict


def _strangers(layout: Layout) -> Iterator[Problem]:
    for path in sorted(layout.segments.iterdir()):
        if parse_name(path.name) is None:
            yield Problem("", None, path.name, "inserted", "this is no segment of the log")
    known = set(layout.found())
    if layout.payloads.is_dir():
        for path in sorted(layout.payloads.iterdir()):
            segment = parse_name(path.name)
            if segment is None or segment not in known:
                writer = segment.writer if segment else ""
                yield Problem(writer, None, path.name, "inserted", "payloads without their records")


def _said(layout: Layout, segments: list[Segment]) -> _Said:
    said = _Said()
    for segment in segments:
        data = layout.records_of(segment).read_bytes()
        for line in data.split(b"\n"):
            if b'"about"' not in line and b'"erasure"' not in line:
                continue
            record = read_line(line)
            # Only what is whole counts: a statement cannot be forged to excuse something else.
            if record is not None and recomputed(record) == record["hash"]:
                _hear(said, record)
    return said


def _hear(said: _Said, record: Record) -> None:
    for writer, told in removals(record).items():
        number, sequence, digest = told
        if sequence > said.removed.get(writer, (0, -1, ""))[1]:
            said.removed[writer] = (number, sequence, digest)
    if record["kind"] == Kind.CHECKPOINT and record.get("about") == "repaired":
        said.torn.add((record["file"], record["offset"], record["bytes"], record["sha256"]))
    if record["kind"] == Kind.CHECKPOINT and record.get("about") == "payloads_lost":
        said.lost.update((record["writer"], sequence) for sequence in record["payloads"])
    if record["kind"] == Kind.ERASURE:
        for writer, sequences in (record.get("payloads") or {}).items():
            said.erased.update((writer, sequence) for sequence in sequences)


def _first_sequence(path: Path) -> int:
    with path.open("rb") as file:
        record = read_line(file.readline().rstrip(b"\n"))
    return 0 if record is None else int(record["sequence"])


class _Chain:
    """One writer's records, in the order in which they lie there."""

    def __init__(
        self,
        layout: Layout,
        writer: str,
        said: _Said,
        heads: dict[int, str],
        verdict: Verdict,
    ) -> None:
        self._layout = layout
        self._heads = heads
        self._writer = writer
        self._said = said
        self._verdict = verdict
        self._expected = 0
        self._prev: str | None = GENESIS
        """None after something that breaks the chain, and was told already."""
        self._gaps: list[tuple[int, int]] = []  # first and last missing sequence

        self._file = ""

    def verify(self, segments: list[Segment]) -> None:
        """Add what is wrong to the verdict."""
        number = self._start(segments[0])
        for segment in segments:
            self._file = segment.name
            if segment.number > number:
                missing = f"{number} to {segment.number - 1}"
                self._problem(None, "removed", f"this writer's files {missing} are missing")
            number = segment.number + 1
            self._segment(segment, is_last=segment == segments[-1])
        for first, last in self._gaps:
            detail = f"records {first} to {last} are missing" if last > first else "it is missing"
            self._problem(first, "removed", detail)
        if self._heads and max(self._heads) >= self._expected:
            detail = f"a checkpoint names record {max(self._heads)}, and it is not there"
            self._problem(self._expected, "truncated", detail)

    def _start(self, first: Segment) -> int:
        """Where the chain has to begin; the number of the file that has to be the first."""
        told = self._said.removed.get(self._writer)
        if told is None:
            return 0
        number, sequence, digest = told
        if first.number > number:
            self._expected, self._prev = sequence + 1, digest
            return number + 1
        # Named, and not gone yet: a crash came between.
        self._expected, self._prev = _first_sequence(self._layout.records_of(first)), None
        return first.number

    def _segment(self, segment: Segment, *, is_last: bool) -> None:
        # In this order: whoever writes to it writes payloads first.
        data = self._layout.records_of(segment).read_bytes()
        kept = self._payloads(segment)
        offset, first, seen = 0, True, set()
        *lines, rest = data.split(b"\n")
        for index, line in enumerate(lines):
            record = read_line(line)
            if record is None:
                if self._is_torn(segment, data, offset):
                    rest = b""
                    break
                self._unreadable(index == len(lines) - 1)
            elif record["writer"] != self._writer:
                self._problem(None, "replaced", f"its records are of {record['writer']!r}")
                return
            else:
                if first:
                    self._opening(segment, record)
                self._record(record)
                self._payload(record, kept.pop(record["sequence"], None))
                seen.add(record["sequence"])
            first = False
            offset += len(line) + 1
        if rest and not self._is_torn(segment, data, offset):
            self._rest(segment, is_last=is_last)
        self._orphans(segment, kept, seen, is_last=is_last)

    def _is_torn(self, segment: Segment, data: bytes, offset: int) -> bool:
        rest = data[offset:]
        told = (segment.name, offset, len(rest), hashlib.sha256(rest).hexdigest())
        return told in self._said.torn

    def _rest(self, segment: Segment, *, is_last: bool) -> None:
        if is_last and is_held(self._layout.records_of(segment)):
            return  # its writer is at it
        self._problem(self._expected, "truncated", "the last line is not whole")

    def _unreadable(self, is_end: bool) -> None:
        what = "the last line cannot be read" if is_end else "the line cannot be read"
        self._problem(self._expected, "altered", what)
        self._expected, self._prev = self._expected + 1, None

    def _opening(self, segment: Segment, record: Record) -> None:
        """Every segment says its own number first."""
        opened = record["kind"] == Kind.CHECKPOINT and record.get("about") == "opened"
        if opened and record.get("segment") != segment.number:
            self._problem(
                record["sequence"], "replaced", f"this was file number {record.get('segment')}"
            )

    def _record(self, record: Record) -> None:
        self._verdict.records += 1
        sequence = record["sequence"]
        whole = recomputed(record) == record["hash"]
        if not whole:
            self._problem(sequence, "altered", "its content is not what its hash says")
        elif self._heads.get(sequence, record["hash"]) != record["hash"]:
            self._problem(sequence, "altered", "a checkpoint names another record in its place")
        if sequence == self._expected:
            if self._prev is not None and record["prev"] != self._prev:
                self._unchained(sequence)
            self._expected, self._prev = sequence + 1, record["hash"] if whole else None
        elif sequence > self._expected:
            self._gaps.append((self._expected, sequence - 1))
            self._expected, self._prev = sequence + 1, record["hash"] if whole else None
        else:
            self._out_of_order(sequence)

    def _unchained(self, sequence: int) -> None:
        at = max(sequence - 1, 0)
        detail = f"record {sequence} was chained to another one" if sequence else "not the first"
        self._problem(at, "altered", detail)

    def _out_of_order(self, sequence: int) -> None:
        for gap in self._gaps:
            first, last = gap
            if first <= sequence <= last:
                self._problem(sequence, "reordered", "it is not in its place")
                self._gaps.remove(gap)
                left = ((first, sequence - 1), (sequence + 1, last))
                self._gaps += [(a, b) for a, b in left if a <= b]
                return
        self._problem(sequence, "inserted", "there is another record with its sequence")

    # Payloads

    def _payloads(self, segment: Segment) -> dict[int, payloads.Kept]:
        found: dict[int, payloads.Kept] = {}
        for _, text in payloads.lines(self._layout.payloads_of(segment)):
            kept = payloads.read(text)
            if kept is None:
                self._problem(None, "altered", "a line of its payloads cannot be read")
            elif kept.sequence in found:
                self._problem(kept.sequence, "inserted", "it has two payloads")
            else:
                found[kept.sequence] = kept
        return found

    def _payload(self, record: Record, kept: payloads.Kept | None) -> None:
        sequence, commitment = record["sequence"], record.get("commitment")
        if commitment is None:
            if kept is not None:
                self._problem(sequence, "inserted", "a payload that its record does not know")
        elif kept is None:
            if (self._writer, sequence) not in self._said.lost:
                self._problem(sequence, "removed", "its payload is missing")
        elif kept.commitment is None:
            self._verdict.erased += 1
            if (self._writer, sequence) not in self._said.erased:
                self._problem(sequence, "removed", "its payload was blanked, and no record says so")
        elif kept.commitment != commitment:
            self._problem(sequence, "altered", "its payload is not what the record commits to")

    def _orphans(
        self, segment: Segment, kept: dict[int, payloads.Kept], seen: set[int], *, is_last: bool
    ) -> None:
        """Payloads whose record is not there: of one that was cut off, or that never was."""
        left = sorted(sequence for sequence in kept if sequence not in seen)
        if not left or (is_last and is_held(self._layout.records_of(segment))):
            return
        if is_last and left[0] >= self._expected:
            self._problem(left[0], "truncated", "its payload is there, and the record is not")
        else:
            self._problem(left[0], "inserted", "a payload without a record")

    def _problem(self, sequence: int | None, kind: ProblemKind, detail: str) -> None:
        found = Problem(self._writer, sequence, self._file, kind, detail)
        if found not in self._verdict.problems[-50:]:
            self._verdict.problems.append(found)
