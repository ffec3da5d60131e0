"""One writer's records, in the order in which they lie there: what is missing, odd or out of place.

A segment that a ``scan`` found clean, and that continues the chain, is not looked at again.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.records import payloads
from adapters.records.files import Layout, Segment, is_held
from adapters.records.line import GENESIS, Kind, Record, is_spelled, read_line, recomputed
from adapters.records.merkle import HASH_BYTES
from adapters.records.problems import Problem, ProblemKind, Verification
from adapters.records.retention import removals
from adapters.records.scan import Scan


@dataclass(slots=True)
class Declared:
    """What records say of files and payloads, gathered in a first pass."""

    removed: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """By writer: what retention removed last: segment number, sequence, hash."""
    torn: set[tuple[str, int, int, str]] = field(default_factory=set)
    """File, offset, bytes and SHA-256 of what a crash left."""
    erased: set[tuple[str, int]] = field(default_factory=set)
    """Writer and sequence of records whose payload was erased."""
    lost: set[tuple[str, int]] = field(default_factory=set)
    """Writer and sequence of records whose payload went down with the machine."""

    def hear(self, record: Record) -> None:
        """Take a whole record in."""
        for writer, removed in removals(record).items():
            number, sequence, digest = removed
            if sequence > self.removed.get(writer, (0, -1, ""))[1]:
                self.removed[writer] = (number, sequence, digest)
        about = record.get("about") if record["kind"] == Kind.CHECKPOINT else None
        if about == "repaired":
            self.torn.add((record["file"], record["offset"], record["bytes"], record["sha256"]))
        if about == "payloads_lost":
            self.lost.update((record["writer"], sequence) for sequence in record["payloads"])
        if about == "erased" or record["kind"] == Kind.ERASURE:
            for writer, sequences in (record.get("payloads") or {}).items():
                self.erased.update((writer, sequence) for sequence in sequences)


@dataclass(frozen=True, slots=True)
class Start:
    """Where one writer's chain is taken up, by a verification that goes on from another."""

    segment: int
    sequence: int
    """Of the first record in it."""
    prev: str


@dataclass(slots=True)
class Hashes:
    """The hashes of one writer's records as they were found: (first sequence, 32 bytes each)."""

    runs: list[tuple[int, bytes]] = field(default_factory=list)
    odd: dict[int, bytes] = field(default_factory=dict)
    """Of segments that are not clean, by sequence."""

    def of(self, sequence: int) -> bytes | None:
        """One of them."""
        return self.between(sequence, sequence)[0]

    def between(self, first: int, last: int) -> list[bytes | None]:
        """Those of a range of sequences; None for each that was not found."""
        found: list[bytes | None] = [None] * (last - first + 1)
        start = max(bisect_right(self.runs, first, key=lambda run: run[0]) - 1, 0)
        for begin, data in self.runs[start:]:
            if begin > last:
                break
            end = begin + len(data) // HASH_BYTES
            for sequence in range(max(first, begin), min(last + 1, end)):
                at = (sequence - begin) * HASH_BYTES
                found[sequence - first] = data[at : at + HASH_BYTES]
        if self.odd:
            for sequence in range(first, last + 1):
                found[sequence - first] = self.odd.get(sequence, found[sequence - first])
        return found


def _first_sequence(path: Path) -> int:
    with path.open("rb") as file:
        record = read_line(file.readline().rstrip(b"\n"))
    return 0 if record is None else int(record["sequence"])


class Chain:
    """One writer's records, in the order in which they lie there."""

    def __init__(
        self,
        layout: Layout,
        writer: str,
        said: Declared,
        heads: Mapping[int, str],
        verification: Verification,
        start: Start | None = None,
    ) -> None:
        self._layout = layout
        self._heads = heads
        self._resumed = start
        self.hashes = Hashes()
        self._writer = writer
        self._said = said
        self._verification = verification
        self._expected = 0
        self._prev: str | None = GENESIS
        """None after something that breaks the chain, and was told already."""
        self._gaps: list[tuple[int, int]] = []  # first and last missing sequence

        self._file = ""

    def verify(self, scans: Sequence[Scan]) -> None:
        """Add what is wrong to the verification."""
        segments = [scan.segment for scan in scans]
        number = self._start(segments[0])
        for scan in scans:
            segment = scan.segment
            self._file = segment.name
            if segment.number > number:
                missing = f"{number} to {segment.number - 1}"
                self._problem(None, "removed", f"this writer's files {missing} are missing")
            number = segment.number + 1
            if not self._continues(scan):
                self._segment(segment, is_last=segment == segments[-1])
        for first, last in self._gaps:
            detail = f"records {first} to {last} are missing" if last > first else "it is missing"
            self._problem(first, "removed", detail)
        if self._heads and max(self._heads) >= self._expected:
            detail = f"a checkpoint names record {max(self._heads)}, and it is not there"
            self._problem(self._expected, "truncated", detail)

    def _continues(self, scan: Scan) -> bool:
        """Take a clean segment at once, if all that is outside of it fits too."""
        if not scan.clean or scan.first != self._expected:
            return False
        if self._prev is not None and scan.prev != self._prev:
            return False
        if scan.opened not in (None, scan.segment.number):
            return False
        if any((self._writer, sequence) not in self._said.erased for sequence in scan.erased):
            return False
        if any((self._writer, sequence) not in self._said.lost for sequence in scan.missing):
            return False
        for sequence, digest in self._heads.items():
            at = (sequence - scan.first) * HASH_BYTES
            said = scan.leaves[at : at + HASH_BYTES].hex()
            if scan.first <= sequence <= scan.last and said != digest:
                return False
        self.hashes.runs.append((scan.first, scan.leaves))
        self._verification.records += scan.last - scan.first + 1
        self._verification.erased += len(scan.erased)
        self._expected, self._prev = scan.last + 1, scan.hash
        return True

    def _start(self, first: Segment) -> int:
        """Where the chain has to begin; the number of the file that has to be the first."""
        if self._resumed is not None:
            self._expected, self._prev = self._resumed.sequence, self._resumed.prev
            return self._resumed.segment
        removed = self._said.removed.get(self._writer)
        if removed is None:
            return 0
        number, sequence, digest = removed
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
                self._record(line, record)
                self._payload(record, kept.pop(record["sequence"], None))
                seen.add(record["sequence"])
            first = False
            offset += len(line) + 1
        if rest and not self._is_torn(segment, data, offset):
            self._rest(segment, is_last=is_last)
        self._orphans(segment, kept, seen, is_last=is_last)

    def _is_torn(self, segment: Segment, data: bytes, offset: int) -> bool:
        rest = data[offset:]
        tear = (segment.name, offset, len(rest), hashlib.sha256(rest).hexdigest())
        return tear in self._said.torn

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

    def _record(self, line: bytes, record: Record) -> None:
        self._verification.records += 1
        sequence = record["sequence"]
        computed = recomputed(record)
        whole = computed == record["hash"]
        if computed is not None and sequence not in self.hashes.odd:
            self.hashes.odd[sequence] = bytes.fromhex(computed)
        if not whole:
            self._problem(sequence, "altered", "its content is not what its hash says")
        elif not is_spelled(line, record):
            self._problem(sequence, "altered", "its line is not in the form that it was written in")
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

    def _payloads(self, segment: Segment) -> dict[int, payloads.KeptPayload]:
        found: dict[int, payloads.KeptPayload] = {}
        for _, text in payloads.lines(self._layout.payloads_of(segment)):
            kept = payloads.read(text)
            if kept is None:
                self._problem(None, "altered", "a line of its payloads cannot be read")
            elif kept.sequence in found:
                self._problem(kept.sequence, "inserted", "it has two payloads")
            else:
                found[kept.sequence] = kept
        return found

    def _payload(self, record: Record, kept: payloads.KeptPayload | None) -> None:
        sequence, commitment = record["sequence"], record.get("commitment")
        if commitment is None:
            if kept is not None:
                self._problem(sequence, "inserted", "a payload that its record does not know")
        elif kept is None:
            if (self._writer, sequence) not in self._said.lost:
                self._problem(sequence, "removed", "its payload is missing")
        elif kept.commitment is None:
            self._verification.erased += 1
            if (self._writer, sequence) not in self._said.erased:
                self._problem(sequence, "removed", "its payload was blanked, and no record says so")
        elif kept.commitment != commitment:
            self._problem(sequence, "altered", "its payload is not what the record commits to")

    def _orphans(
        self,
        segment: Segment,
        kept: dict[int, payloads.KeptPayload],
        seen: set[int],
        *,
        is_last: bool,
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
        if found not in self._verification.problems[-50:]:
            self._verification.problems.append(found)
