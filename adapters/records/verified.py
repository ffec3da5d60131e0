"""What a verification remembers, so that the next one reads only what came since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.atomic import write_file
from adapters.records.chain import Declared, Start
from adapters.records.files import Segment
from adapters.records.merkle import Frontier
from adapters.records.problems import Unreadable, Verification
from adapters.records.scan import Scan


class _Seen(BaseModel):
    """How far one writer was read: the file that is read again, and where its chain stood there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    segment: int
    sequence: int
    prev: str


class Verified(BaseModel):
    """The end of a verification that found no problem."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tree_size: int = 0
    nodes: list[str] = []
    """What the tree was made of, hexadecimal."""
    writers: dict[str, _Seen] = {}
    removed: dict[str, list[Any]] = {}
    erased: list[list[Any]] = []
    lost: list[list[Any]] = []

    @classmethod
    def of(
        cls,
        verification: Verification,
        frontier: Frontier,
        scans: Mapping[Segment, Scan],
        said: Declared,
        since: Verified | None,
    ) -> Self:
        """What to remember. Of a log with problems, what was remembered before."""
        if not verification.ok:
            return cls() if since is None else cls(**since.model_dump())
        writers = {} if since is None else dict(since.writers)
        for segment in sorted(scans):
            found = scans[segment]
            if found.first >= 0:
                writers[segment.writer] = _Seen(
                    segment=segment.number, sequence=found.first, prev=found.prev
                )
        return cls(
            tree_size=frontier.size,
            nodes=[node.hex() for node in frontier.nodes],
            writers=writers,
            removed={writer: list(each) for writer, each in said.removed.items()},
            erased=[list(each) for each in sorted(said.erased) if _is_open(writers, each)],
            lost=[list(each) for each in sorted(said.lost) if _is_open(writers, each)],
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What a file remembers; None when there is none. Raises ``Unreadable``."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise Unreadable(f"{path} does not remember a verification") from error

    def write(self, path: Path) -> None:
        """Raises ``OSError``."""
        write_file(path, self.model_dump_json())

    def wants(self, segment: Segment) -> bool:
        """Whether a segment may hold something new."""
        seen = self.writers.get(segment.writer)
        return seen is None or segment.number >= seen.segment

    def start(self, writer: str) -> Start | None:
        """Where its chain is taken up; None: at its beginning."""
        seen = self.writers.get(writer)
        return None if seen is None else Start(seen.segment, seen.sequence, seen.prev)

    def tell(self, said: Declared) -> None:
        """Take in what older records said."""
        for writer, (number, sequence, digest) in self.removed.items():
            said.removed[writer] = (number, sequence, digest)
        said.erased.update((writer, sequence) for writer, sequence in self.erased)
        said.lost.update((writer, sequence) for writer, sequence in self.lost)

    def frontier(self) -> Frontier:
        """What the tree was made of."""
        return Frontier(self.tree_size, [bytes.fromhex(node) for node in self.nodes])


def _is_open(writers: Mapping[str, _Seen], each: tuple[str, int]) -> bool:
    """Whether it is of a file that is read again."""
    seen = writers.get(each[0])
    return seen is None or each[1] >= seen.sequence
