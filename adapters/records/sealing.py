"""Puts every writer's new records under one signed tree head, again and again.

One process at a time has the directory's lock, reads what was said last, adds to the tree what
writers appended since, and signs. Any process of the machine may do it, and each starts from the
files: who was superseded or crashed in the middle leaves nothing that counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.records import checkpoints
from adapters.records.checkpoints import Checkpoint
from adapters.records.config import AuditConfig
from adapters.records.files import Layout, Segment, by_writer
from adapters.records.following import Position, first_of, follow
from adapters.records.line import GENESIS, iso
from adapters.records.signing import SIGNING_FILE, Signer
from adapters.records.tree import Tree

_NAMED: Final = 64
"""Writers that a checkpoint names, besides those that are writing: the newest."""
_TRIM_S: Final = 3600.0
AUDIT: Final = "audit"
"""The directory of the log of requests and admin actions, below the state directory."""
_NOTHING: Final = checkpoints.ChainHead(-1, GENESIS)


def open_sealer(state_dir: Path, name: str, config: AuditConfig, patience: float) -> Sealer:
    """What signs one of the logs below a state directory, all of them with one key.

    ``patience``: a checkpoint of another process is new enough so many times ``checkpoint_s`` long.
    """
    root = state_dir / name
    key_file = config.key_file or state_dir / AUDIT / SIGNING_FILE
    return Sealer(Layout(root), Signer(root, key_file), config.checkpoint_s * patience)


@dataclass(slots=True)
class _Seen:
    """What this process knows of ``checkpoints.jsonl``, so that it reads each line once."""

    inode: int = -1
    offset: int = 0
    reached: dict[str, checkpoints.ChainHead] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    """Writers that a line of the file speaks of."""


class Sealer:
    """Signs one log's directory. Blocks: for a thread; thread-safe.

    Args:
        layout: the directory.
        signer: whose key it is signed with.
        every_s: a checkpoint that is younger is new enough for ``tick``, seconds.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        layout: Layout,
        signer: Signer,
        every_s: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.layout = layout
        self.signer = signer
        self.tree = Tree(layout.tree)
        self._every_s = every_s
        self._clock = clock
        self._seen = _Seen()
        self._positions: dict[str, Position] = {}
        self._lock = threading.Lock()
        self._next_trim_s = 0.0
        self.newest_s = 0.0
        """When the newest checkpoint was signed that this process knows of."""

    def tick(self) -> Checkpoint | None:
        """Seal when it is time. Raises ``OSError``, ``BadKey``, ``Incomplete``."""
        if time.monotonic() >= self._next_trim_s:
            self._next_trim_s = time.monotonic() + _TRIM_S
            self.trim()
        last = checkpoints.newest(self.layout)
        if last is not None:
            self.newest_s = last.at
            # One of a clock that was set back since then is of no age at all.
            if 0 <= self._clock() - last.at < self._every_s:
                return last
        return self.seal(even_if_nothing_is_new=True)

    def seal(self, *, even_if_nothing_is_new: bool = False) -> Checkpoint | None:
        """Cover all that is on disk; the newest checkpoint, None where there are no records.

        Raises ``OSError``, ``BadKey``, ``Incomplete``.
        """
        self.layout.make()
        with self._lock, checkpoints.locked(self.layout):
            last = checkpoints.newest(self.layout)
            self._look_back()
            size = 0 if last is None else last.tree_size
            segments = by_writer(self.layout.found())
            leaves = self._new_leaves(segments)
            if not leaves and not even_if_nothing_is_new:
                return last
            root = self.tree.extend(size, leaves).root().hex()
            heads = self._heads(segments)
            document = self.signer.sign(
                {
                    "tree_size": size + len(leaves),
                    "root": root,
                    "heads": {
                        writer: {"sequence": each.sequence, "hash": each.hash}
                        for writer, each in heads.items()
                    },
                    "time": iso(self._clock()),
                    "prev": None if last is None else last.digest,
                }
            )
            checkpoints.append(self.layout, document)
            made = checkpoints.parse(document)
            assert made is not None
            self.newest_s = made.at
            return made

    def reached(self, writer: str) -> int:
        """The last sequence of a writer that a checkpoint covers; -1: none. Raises ``OSError``."""
        with self._lock:
            self._look_back()
            head = self._seen.reached.get(writer)
            return -1 if head is None else head.sequence

    def names(self, writer: str) -> bool:
        """Whether a checkpoint that is kept speaks of a writer. Raises ``OSError``."""
        with self._lock:
            self._look_back()
            return writer in self._seen.named

    def signed(self) -> Checkpoint:
        """A checkpoint over all that is on disk now, also when that is nothing.

        Raises ``OSError``, ``BadKey``, ``Incomplete``.
        """
        found = self.seal()
        if found is None:
            found = self.seal(even_if_nothing_is_new=True)
        assert found is not None
        return found

    def trim(self) -> None:
        """Forget checkpoints and leaves of which retention left no record. Raises ``OSError``."""
        if not self.layout.checkpoints.exists():
            return
        with self._lock, checkpoints.locked(self.layout):
            base = self._base()
            if base is not None:
                checkpoints.drop_before(self.layout, base)
                self.tree.trim(base.tree_size)

    def _base(self) -> Checkpoint | None:
        """The last checkpoint of which, and of those before, no record is left."""
        left = {}
        for writer, segments in by_writer(self.layout.found()).items():
            first = first_of(self.layout, segments[0])
            left[writer] = 0 if first is None else first["sequence"]
        found, lines = None, [line for _, line in checkpoints.read(self.layout).lines]
        for number, (line, added) in enumerate(checkpoints.order(lines)):
            if any(each.last >= left.get(each.writer, each.last + 1) for each in added):
                break
            found = line if number else None
        return found

    def _look_back(self) -> None:
        """Take in what other processes signed since the last time."""
        try:
            status = self.layout.checkpoints.stat()
        except FileNotFoundError:
            self._seen = _Seen()
            return
        seen = self._seen
        if status.st_ino != seen.inode or status.st_size < seen.offset:
            # What retention dropped does not matter: it was of writers that are gone.
            seen = self._seen = _Seen(status.st_ino, 0, dict(seen.reached))
        with self.layout.checkpoints.open("rb") as file:
            file.seek(seen.offset)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                seen.offset += len(text)
                line = checkpoints.parse_line(text[:-1])
                if line is not None:
                    seen.reached.update(line.heads)
                    seen.named.update(line.heads)

    def _new_leaves(self, segments: dict[str, list[Segment]]) -> list[bytes]:
        """In the order that ``checkpoints.order`` tells."""
        found: list[bytes] = []
        self._positions = {w: p for w, p in self._positions.items() if w in segments}
        for writer in sorted(segments):
            found += self._follow(writer, segments[writer])
        return found

    def _follow(self, writer: str, segments: list[Segment]) -> list[bytes]:
        head = self._seen.reached.get(writer, _NOTHING)
        position = self._positions.get(writer)
        if position is None or position.sequence != head.sequence:
            # Unknown here; or another process signed more; or what was followed was never signed.
            position = self._positions[writer] = Position(head.sequence, head.hash)
        return [] if position.is_closed else follow(self.layout, segments, position)

    def _heads(self, segments: dict[str, list[Segment]]) -> dict[str, Position]:
        """Of all writers that went on or may go on, and of the newest of the others."""
        known = {w: p for w, p in self._positions.items() if p.sequence >= 0}
        moved = {
            writer
            for writer, position in known.items()
            if not position.is_closed
            or writer not in self._seen.reached
            or self._seen.reached[writer].sequence != position.sequence
        }
        others = sorted(known.keys() - moved, key=lambda writer: self._changed(segments[writer]))
        return {writer: known[writer] for writer in sorted([*moved, *others[-_NAMED:]])}

    def _changed(self, segments: list[Segment]) -> float:
        return self.layout.records_of(segments[-1]).stat().st_mtime
