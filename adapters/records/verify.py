"""Tells whether a log is what was written: every record hashed, counted and chained anew.

What a later change looks like: a record or payload ``altered``; records or files ``removed``,
``inserted``, ``reordered``; a file, a chain or a key ``replaced`` by another one; an end that was
``truncated``. What retention removed, what a crash tore and what was erased are no problems where a
record says so.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from adapters.records import checkpoints
from adapters.records.chain import Chain, Declared, Hashes, Start
from adapters.records.checkpoints import Checkpoint, Checkpoints
from adapters.records.files import Layout, Segment, by_writer, is_held, parse_name
from adapters.records.following import closes
from adapters.records.line import Record
from adapters.records.problems import Problem, ProblemKind, Unreadable, Verification
from adapters.records.scan import Scan, scan
from adapters.records.signing import KEYS_FILE, BadKey, PublicKey, read_keys, trusted
from adapters.records.tree import Tree
from adapters.records.treecheck import TreeCheck, check_lines
from adapters.records.verified import Verified

__all__ = ["Problem", "Reference", "Unreadable", "Verification", "verify", "verify_more"]

_WORTH_PROCESSES = 32 * 1024 * 1024
"""Below so many bytes, starting processes takes longer than reading."""


@dataclass(frozen=True)
class Reference:
    """What a log is verified against, beside itself.

    Attributes:
        checkpoint: one that was kept elsewhere.
        keys: public keys that were kept elsewhere; without, the log's own list is believed.
        since: what an earlier verification found: only what came after it is read.
        processes: how many read at the same time.
    """

    checkpoint: Checkpoint | None = None
    keys: Sequence[PublicKey] = ()
    since: Verified | None = None
    processes: int = 1


def verify(root: Path, reference: Reference = Reference()) -> Verification:
    """Verify a log's directory; also while it is written to. Raises ``Unreadable``."""
    return verify_more(root, reference)[0]


def verify_more(root: Path, reference: Reference) -> tuple[Verification, Verified]:
    """The same, and what the next verification may go on from. Raises ``Unreadable``."""
    layout = Layout(root)
    if not layout.segments.is_dir():
        raise Unreadable(f"{root} is no log: it has no directory named segments")
    try:
        try:
            found = _Verifier(layout, reference).run()
        except FileNotFoundError:  # retention was faster
            found = _Verifier(layout, reference).run()
        if not found[0].ok and any(is_held(layout.records_of(s)) for s in layout.found()):
            # An erasure or a removal may have come between two looks: what stays is a problem.
            found = _Verifier(layout, reference).run()
    except OSError as error:
        raise Unreadable(f"{root} cannot be read: {error}") from error
    return found


@dataclass
class _Verifier:
    """One look at all of it."""

    layout: Layout
    reference: Reference
    verification: Verification = field(default_factory=Verification)
    said: Declared = field(default_factory=Declared)
    hashes: dict[str, Hashes] = field(default_factory=dict)

    def run(self) -> tuple[Verification, Verified]:
        """Raises ``OSError``."""
        # Checkpoints first: whoever writes to the log meanwhile writes them last.
        written = checkpoints.read(self.layout)
        lines = self._lines(written)
        self._check_presence(written)
        segments = self.layout.found()
        since = self.reference.since
        self.verification.problems += _strangers(self.layout)
        if since is not None:
            since.tell(self.said)
        scans = self._scans([s for s in segments if since is None or since.wants(s)])
        for each in scans.values():
            for record in each.statements:
                self.said.hear(record)
        heads = _heads(lines)
        starts: dict[str, Start] = {}
        for writer, own in by_writer(segments).items():
            start = None if since is None else since.start(writer)
            read = [scans[segment] for segment in own if segment in scans]
            if start is not None:
                starts[writer] = start
            chain = Chain(
                self.layout, writer, self.said, heads.pop(writer, {}), self.verification, start
            )
            chain.verify(read)
            self.hashes[writer] = chain.hashes
        self._missing_writers(heads)
        self._check_tree(written, lines)
        self._check_end(written, by_writer(segments), scans)
        return self.verification, Verified.of(
            self.verification, self._tree.frontier, scans, self.said, since
        )

    def _lines(self, written: Checkpoints) -> list[tuple[int, Checkpoint]]:
        """The file's checkpoints, and the one that was kept elsewhere at its place."""
        self.verification.checkpoints = len(written.lines)
        for number in written.damaged:
            name = self.layout.checkpoints.name
            self.verification.add("", None, name, "altered", f"line {number} is no checkpoint")
        for number in written.respelled:
            told = f"line {number} is not in the form that it was written in"
            self.verification.add("", None, self.layout.checkpoints.name, "altered", told)
        kept, lines = self.reference.checkpoint, list(written.lines)
        if kept is None or any(line.document == kept.document for _, line in lines):
            return lines
        if lines and kept.tree_size < lines[0][1].tree_size and lines[0][1].prev is not None:
            return lines  # retention dropped it: the key and the heads still speak
        place = sum(1 for _, line in lines if line.tree_size <= kept.tree_size)
        lines.insert(place, (0, kept))
        return lines

    def _check_presence(self, written: Checkpoints) -> None:
        """Leaves come with a checkpoint over them: without any, all were taken away."""
        if written.lines or not Tree(self.layout.tree).size():
            return
        if not checkpoints.read(self.layout).lines:  # not the first, which was being written
            name, detail = self.layout.checkpoints.name, "the tree has leaves, and none is signed"
            self.verification.add("", None, name, "removed", detail)

    def _scans(self, segments: Sequence[Segment]) -> dict[Segment, Scan]:
        root = self.layout.root
        size = sum(self.layout.records_of(segment).stat().st_size for segment in segments)
        if self.reference.processes <= 1 or size < _WORTH_PROCESSES:
            return {segment: scan(root, segment) for segment in segments}
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.reference.processes, context) as pool:
            roots = [root] * len(segments)
            return dict(zip(segments, pool.map(scan, roots, segments, chunksize=2), strict=True))

    def _missing_writers(self, heads: Mapping[str, Mapping[int, str]]) -> None:
        """Those that checkpoints name, and that have no files."""
        for writer, named in heads.items():
            newest = max(named)
            if newest > self.said.removed.get(writer, (0, -1, ""))[1]:
                detail = "a checkpoint names its records, and it has no files"
                name = self.layout.checkpoints.name
                self.verification.add(writer, newest, name, "removed", detail)

    def _check_tree(self, written: Checkpoints, lines: list[tuple[int, Checkpoint]]) -> None:
        own = self._own_keys()
        known = {each.key_id: each for each in own}
        keys = trusted(own, self.reference.keys) if self.reference.keys else known
        kept, since = self.reference.checkpoint, self.reference.since
        begins_late = bool(self.said.removed)
        new = [
            each for each in written.lines if since is None or each[1].tree_size >= since.tree_size
        ]
        before = len(self.verification.problems)
        check_lines(
            new,
            keys,
            may_begin_late=begins_late or since is not None,
            verification=self.verification,
        )
        if kept is not None and all(line.document != kept.document for _, line in written.lines):
            is_whole = len(self.verification.problems) == before
            newest_s = written.lines[-1][1].at if written.lines else 0.0
            # What goes on without a gap and without it is another history.
            gone: ProblemKind = "replaced" if is_whole else "removed"
            self._strange_checkpoint(kept, keys, "truncated" if newest_s < kept.at else gone)
        tree = Tree(self.layout.tree)
        start = None if since is None else since.frontier()
        self._tree = TreeCheck(tree, self.hashes, self.verification, start)
        self._tree.run([line for _, line in lines])
        if written.lines:
            newest = written.lines[-1][1]
            self.verification.tree_size, self.verification.root = newest.tree_size, newest.root
        if since is not None and self.verification.tree_size < since.tree_size:
            name = self.layout.checkpoints.name
            detail = f"an earlier verification saw {since.tree_size} records under a checkpoint"
            self.verification.add("", None, name, "truncated", detail)

    def _own_keys(self) -> list[PublicKey]:
        try:
            return read_keys(self.layout.root)
        except BadKey as error:
            self.verification.add("", None, KEYS_FILE, "altered", str(error))
            return []

    def _strange_checkpoint(
        self, kept: Checkpoint, keys: Mapping[str, PublicKey], kind: ProblemKind
    ) -> None:
        """One that was kept elsewhere, and that the file does not have."""
        writer = min(kept.heads, default="")
        sequence = kept.heads[writer].sequence if writer else None
        name = self.layout.checkpoints.name
        key = keys.get(kept.key_id)
        if key is None:
            detail = f"the checkpoint that was kept is signed with {kept.key_id}, unknown here"
            self.verification.add(writer, sequence, KEYS_FILE, "replaced", detail)
        elif not key.vouches(kept.document):
            detail = "the checkpoint that was kept is not what its signature says"
            self.verification.add(writer, sequence, name, "altered", detail)
        else:
            detail = f"the checkpoint of {kept.time} that was kept is missing here"
            self.verification.add(writer, sequence, name, kind, detail)

    def _check_end(
        self,
        written: Checkpoints,
        writers: Mapping[str, list[Segment]],
        scans: Mapping[Segment, Scan],
    ) -> None:
        """A log that was closed ends with a checkpoint over all of it."""
        segments = [own[-1] for own in writers.values()]
        if not segments or any(is_held(self.layout.records_of(each)) for each in segments):
            return
        lasts = [_last_statement(scans[each]) for each in segments if each in scans]
        if any(last is None or not closes(last) for last in lasts):
            return  # a crash: whoever comes next closes it
        reached: dict[str, int] = {}
        for _, line in written.lines:
            reached.update({writer: head.sequence for writer, head in line.heads.items()})
        for last in lasts:
            if last is None or last["actor"] != last["writer"]:
                continue  # closed by another process, after a crash
            if last["sequence"] > reached.get(last["writer"], -1):
                if self.reference.since is not None and last["writer"] not in reached:
                    continue
                name, detail = self.layout.checkpoints.name, "the newest checkpoint is missing"
                self.verification.add(last["writer"], last["sequence"], name, "truncated", detail)
                return


def _last_statement(found: Scan) -> Record | None:
    last = found.statements[-1] if found.statements else None
    return last if last is not None and last["sequence"] >= found.last else None


def _heads(lines: Sequence[tuple[int, Checkpoint]]) -> dict[str, dict[int, str]]:
    """By writer and sequence, what checkpoints say that the hash is; the older one counts."""
    found: dict[str, dict[int, str]] = {}
    for _, line in lines:
        for writer, head in line.heads.items():
            found.setdefault(writer, {}).setdefault(head.sequence, head.hash)
    return found


def _strangers(layout: Layout) -> Iterator[Problem]:
    for path in sorted(layout.segments.iterdir()):
        if parse_name(path.name) is None or not path.is_file():
            yield Problem("", None, path.name, "inserted", "this is no segment of the log")
    known = set(layout.found())
    if layout.payloads.is_dir():
        for path in sorted(layout.payloads.iterdir()):
            segment = parse_name(path.name)
            if segment is None or segment not in known:
                writer = segment.writer if segment else ""
                yield Problem(writer, None, path.name, "inserted", "payloads without their records")
