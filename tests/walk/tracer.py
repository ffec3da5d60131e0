"""What a piece of work touches: files in order of first visit, functions, jumps between files.

A *function* is a code object with a name of its own: comprehensions, lambdas and generator
expressions belong to the function that holds them. A *jump* is a call, the first entry into a new
frame, whose nearest caller within the traced folders lies in another file; a coroutine that goes on
after a pause is not called again.

Tasks that were started before the noting began, periodic work above all, are left out, with the
threads that they wait for; threads that stand alone, like the one that writes records, are not.
What only these visit comes last, by name: when they do is chance.
"""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_APART, _WALKING, _ALONE = "apart", "walking", "alone"
_place: ContextVar[str] = ContextVar("place", default=_ALONE)
"""What the running code has to do with the walk; tasks, and threads that they wait for, inherit."""


@dataclass
class Walk:
    """What was touched.

    Attributes:
        files: paths relative to the repository, in order of first visit.
        functions: ``path:name`` of each function, in order of first visit.
        jumps: how often each pair of files, caller first, was crossed by a call.
    """

    files: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    jumps: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def jumped(self) -> int:
        """All jumps together."""
        return sum(self.jumps.values())

    def within(self, *folders: str) -> Walk:
        """The part of the walk that lies in these folders."""

        def inside(path: str) -> bool:
            return path.startswith(folders)

        return Walk(
            [path for path in self.files if inside(path)],
            [name for name in self.functions if inside(name)],
            {pair: n for pair, n in self.jumps.items() if inside(pair[0]) and inside(pair[1])},
        )


class Tracer:
    """Follows calls in every thread that is started while it is installed.

    Args:
        folders: top-level folders of the repository whose files count.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._roots = tuple(f"{ROOT / folder}/" for folder in folders)
        self._functions: dict[CodeType, _Function | None] = {}
        self._walk: Walk | None = None
        self._seen: set[str] = set()
        self._alone: list[str] = []
        self._lock = threading.Lock()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Listen, in this thread and in those that start from now on; nothing is noted yet."""
        token = _place.set(_APART)
        threading.setprofile(self._event)
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            _place.reset(token)

    @contextmanager
    def noting(self) -> Iterator[Walk]:
        """Note what happens inside; not to be nested."""
        self._seen.clear()
        self._alone.clear()
        token = _place.set(_WALKING)
        self._walk = walk = Walk()
        try:
            yield walk
        finally:
            self._walk = None
            walk.files += sorted(set(self._alone) - set(walk.files))
            _place.reset(token)

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        walk = self._walk
        place = _place.get()
        if walk is None or event != "call" or place == _APART:
            return
        found = self._function(frame.f_code)
        if found is None or frame.f_lasti != found.start:
            return
        caller = self._caller(frame)
        with self._lock:
            files = self._alone if place == _ALONE else walk.files
            if found.path not in files:
                files.append(found.path)
            if found.name not in self._seen:
                self._seen.add(found.name)
                walk.functions.append(found.name)
            if caller is not None and caller != found.path:
                pair = (caller, found.path)
                walk.jumps[pair] = walk.jumps.get(pair, 0) + 1

    def _caller(self, frame: FrameType) -> str | None:
        above = frame.f_back
        while above is not None:
            found = self._function(above.f_code)
            if found is not None:
                return found.path
            above = above.f_back
        return None

    def _function(self, code: CodeType) -> _Function | None:
        if code not in self._functions:
            inside = code.co_filename.startswith(self._roots) and not code.co_name.startswith("<")
            self._functions[code] = _Function.of(code) if inside else None
        return self._functions[code]


@dataclass(frozen=True)
class _Function:
    path: str
    name: str
    start: int
    """Where the instruction is that a call, and not a continuation, begins with."""

    @classmethod
    def of(cls, code: CodeType) -> _Function:
        path = str(Path(code.co_filename).relative_to(ROOT))
        start = next(
            step.offset
            for step in dis.get_instructions(code)
            if step.opname == "RESUME" and not step.arg
        )
        return cls(path, f"{path}:{code.co_qualname}", start)
