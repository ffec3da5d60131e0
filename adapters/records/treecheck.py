"""Whether signed checkpoints speak of the records that are there: signatures, order, roots.

Leaves are the hashes that were computed from the records; for records that retention removed, or
that are missing, those that the tree's own files have. A root that comes out otherwise is located
by the tree's files, as long as these lead to the signed root themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from adapters.records.chain import Hashes
from adapters.records.checkpoints import Checkpoint, Leaves, order
from adapters.records.merkle import Frontier, frontier_of
from adapters.records.problems import Verification
from adapters.records.signing import PublicKey
from adapters.records.tree import Incomplete, Tree

_SHOWN = 20
"""Records of one interval that are named one by one."""
_FILE = "checkpoints.jsonl"


def check_lines(
    lines: Sequence[tuple[int, Checkpoint]],
    keys: Mapping[str, PublicKey],
    *,
    may_begin_late: bool,
    verification: Verification,
) -> None:
    """Signatures, and that each line follows the one before it."""
    before: Checkpoint | None = None
    strangers: Counter[str] = Counter()
    for number, line in lines:
        key = keys.get(line.key_id)
        if key is None:
            strangers[line.key_id] += 1
        elif not key.vouches(line.document):
            _told(verification, line, "altered", f"line {number} is not what its signature says")
        if before is None:
            if line.prev is not None and not may_begin_late:
                _told(verification, line, "removed", "lines before the first one are missing")
        elif line.prev != before.digest:
            kind = "altered" if line.tree_size < before.tree_size else "removed"
            _told(verification, line, kind, f"line {number} does not follow the line before it")
        before = line
    for key_id, count in strangers.items():
        detail = f"{count} checkpoints are signed with {key_id}, which is none of the trusted keys"
        verification.add("", None, "keys.json", "replaced", detail)


class TreeCheck:
    """Builds the tree anew over all checkpoints.

    Args:
        tree: what its own files say.
        hashes: by writer, what the records say.
        verification: told of every problem.
        start: of a verification that goes on from another: what the tree was made of.
    """

    def __init__(
        self,
        tree: Tree,
        hashes: Mapping[str, Hashes],
        verification: Verification,
        start: Frontier | None = None,
    ) -> None:
        self._tree = tree
        self._hashes = hashes
        self._verification = verification
        self._start = start
        self.frontier = Frontier() if start is None else start.copy()

    def run(self, lines: Sequence[Checkpoint]) -> None:
        """Compare every line's root; ends at the first that nothing leads to."""
        for line, added in order(lines):
            if self._start is not None and line.tree_size <= self._start.size:
                continue
            if line.tree_size and not added and self.frontier.size == 0:
                if not self._begin(line):
                    return
                continue
            if not self._grow(line, added):
                return

    def _begin(self, line: Checkpoint) -> bool:
        """At the first checkpoint after retention removed what it covers."""
        try:
            self.frontier = frontier_of(line.tree_size, self._tree.subtree)
        except Incomplete as error:
            self._verification.add("", None, "tree", "removed", str(error))
            return False
        if self.frontier.root().hex() != line.root:
            _told(self._verification, line, "replaced", "its root is not that of the tree's files")
            return False
        return True

    def _grow(self, line: Checkpoint, added: list[Leaves]) -> bool:
        if sum(each.last - each.first + 1 for each in added) + self.frontier.size != line.tree_size:
            _told(self._verification, line, "altered", "its heads do not add up to its size")
            return False
        found: list[bytes | None] = []
        for each in added:
            hashes = self._hashes.get(each.writer)
            count = each.last - each.first + 1
            found += [None] * count if hashes is None else hashes.between(each.first, each.last)
        whole = [each for each in found if each is not None]
        if len(whole) == len(found):
            grown = _grown(self.frontier, whole)
            if grown.root().hex() == line.root:
                self.frontier = grown
                return True
        return self._locate(line, added, found)

    def _locate(self, line: Checkpoint, added: list[Leaves], found: list[bytes | None]) -> bool:
        """Something is missing, or is not what was signed: the tree's files may know which."""
        try:
            stored = self._tree.leaves(self.frontier.size, line.tree_size)
        except Incomplete:
            stored = []
        grown = _grown(self.frontier, stored)
        if not stored or grown.root().hex() != line.root:
            if not (None in found and self._verification.problems):
                self._replaced(line)
            return False
        self.frontier = grown
        if Counter(found) == Counter(stored):
            return True  # a line is missing that says in which order they are leaves
        at, named = 0, 0
        for each in added:
            for sequence in range(each.first, each.last + 1):
                if found[at] not in (None, stored[at]):
                    named += 1
                    if named <= _SHOWN:
                        self._altered(each.writer, sequence)
                at += 1
        return True

    def _altered(self, writer: str, sequence: int) -> None:
        known = {(each.writer, each.sequence) for each in self._verification.problems}
        if (writer, sequence) not in known:
            detail = "a checkpoint covers another record in its place"
            self._verification.add(writer, sequence, _FILE, "altered", detail)

    def _replaced(self, line: Checkpoint) -> None:
        """Named by the heads that differ; the root alone says only that something does."""
        detail = f"the checkpoint of {line.time} covers other records than those that are there"
        named = False
        for writer, head in line.heads.items():
            hashes = self._hashes.get(writer)
            found = None if hashes is None else hashes.of(head.sequence)
            if found is not None and found.hex() != head.hash:
                self._verification.add(writer, head.sequence, _FILE, "replaced", detail)
                named = True
        if not named:
            _told(self._verification, line, "replaced", detail)


def _grown(frontier: Frontier, leaves: Sequence[bytes]) -> Frontier:
    grown = frontier.copy()
    for leaf in leaves:
        grown.append(leaf)
    return grown


def _told(verification: Verification, line: Checkpoint, kind: str, detail: str) -> None:
    """A problem of a line; located by the first writer that it names."""
    writer = min(line.heads, default="")
    sequence = line.heads[writer].sequence if writer else None
    verification.add(writer, sequence, _FILE, kind, detail)  # type: ignore[arg-type]
