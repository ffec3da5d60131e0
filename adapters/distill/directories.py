"""Where trainings lie on the disk: one directory each, bounded in number, emptied at the end."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from adapters.distill import job

_log = logging.getLogger("graftwork.distill")
_ID: Final = re.compile(r"dst_[0-9a-f]{24}")
_LOG_BYTES: Final = 16 * 1024
_KEPT: Final = 200
"""Directories of trainings that ended: their curves and logs."""
_STAYS: Final = frozenset(
    {
        job.CANCEL_FILE,  # a trainer on another machine may not have seen it yet
        job.JOB_FILE,
        job.LOCK_FILE,
        job.LOG_FILE,
        job.OUTCOME_FILE,
        job.PROGRESS_FILE,
    }
)


class JobDirectories:
    """All of one state directory. Methods block."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, identity: str) -> Path:
        """Where one training lies, or would."""
        if _ID.fullmatch(identity) is None:
            raise ValueError(f"{identity!r} is no distillation")
        return self._root / identity

    def curve(self, identity: str) -> list[Mapping[str, Any]]:
        """How the losses went, oldest first; empty without a training.

        Steps that were done again after a death are told once, as they went the last time.
        """
        kept: list[job.Progress] = []
        for look in job.read_progress(self.path(identity)):
            while kept and kept[-1].step >= look.step and kept[-1].phase == look.phase:
                kept.pop()
            kept.append(look)
        return [look.model_dump(mode="json", exclude_none=True) for look in kept]

    def log(self, identity: str) -> str:
        """The end of what the trainer said; empty without a training."""
        try:
            with (self.path(identity) / job.LOG_FILE).open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _LOG_BYTES))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def last_lines(self, identity: str, count: int = 5) -> str:
        """What the trainer said last."""
        return "\n".join(self.log(identity).strip().splitlines()[-count:])

    def discard(self, identity: str) -> None:
        """Of a training that ended nothing stays but its curve, its log and how it ended."""
        # Persons' texts are in the examples, and the weights have seen them.
        with contextlib.suppress(FileNotFoundError):
            for path in self.path(identity).iterdir():
                if path.name in _STAYS:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def remove(self, identity: str) -> None:
        """Leave nothing of it. Raises ``OSError`` while something is left."""
        path = self.path(identity)
        for last in (False, False, True):
            try:
                shutil.rmtree(path)
            except OSError:
                # A process that ends there may have put a file in, or taken one away.
                if last and path.exists():
                    raise
            if not path.exists():
                return

    def leftovers(self, under_way: Collection[str]) -> list[str]:
        """Trainings that ended and are not discarded yet."""
        return [
            name
            for name in self._ended(under_way)
            if any(path.name not in _STAYS for path in self.path(name).iterdir())
        ]

    def forget(self, under_way: Collection[str]) -> None:
        """Remove the oldest of those that ended (law 9)."""
        for name in self._ended(under_way)[_KEPT:]:
            try:
                self.remove(name)
            except OSError as error:  # the next look tries again
                _log.warning("directory_not_removed", extra={"job": name, "why": str(error)})

    def _ended(self, under_way: Collection[str]) -> list[str]:
        """Newest first."""
        with contextlib.suppress(FileNotFoundError):
            return [
                name
                for _, name in sorted(
                    (
                        (path.stat().st_mtime, path.name)
                        for path in self._root.iterdir()
                        if path.name not in under_way and _ID.fullmatch(path.name) is not None
                    ),
                    reverse=True,
                )
            ]
        return []
