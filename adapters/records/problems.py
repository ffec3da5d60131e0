"""What a verification says: each change by what was done, to what, and where it lies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

ProblemKind = Literal["altered", "removed", "inserted", "reordered", "truncated", "replaced"]


class Unreadable(Exception):
    """There is no log to verify, or nothing to verify it with; the message says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One change, and where it is."""

    writer: str
    sequence: int | None
    file: str
    kind: ProblemKind
    detail: str


@dataclass(slots=True)
class Verification:
    """What a verification found."""

    records: int = 0
    checkpoints: int = 0
    """Signed lines of ``checkpoints.jsonl``, each compared with the records that it covers."""
    erased: int = 0
    """Payloads that an erasure blanked."""
    tree_size: int = 0
    """Records that the newest checkpoint covers, and its ``root``."""
    root: str = ""
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was changed."""
        return not self.problems

    def add(
        self, writer: str, sequence: int | None, file: str, kind: ProblemKind, detail: str
    ) -> None:
        """Tell of one more change."""
        self.problems.append(Problem(writer, sequence, file, kind, detail))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, **asdict(self)}
