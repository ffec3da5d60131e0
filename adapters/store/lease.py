"""A version's files, as long as somebody needs them to stay."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self


class Lease:
    """A version's local directory, which stays until ``release``; also a context manager."""

    def __init__(self, path: Path, lock: int | None = None) -> None:
        self.path = path
        self._finish = weakref.finalize(self, os.close, lock) if lock is not None else None

    def release(self) -> None:
        """Let the copy be cleared when room is needed; idempotent."""
        if self._finish is not None:
            self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
