"""Whose time it is: each moment of a request belongs to one stage, and each stage to a heading."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Heading(StrEnum):
    """What time, tokens and cost are booked to."""

    ROUTING = "routing"
    GOVERNANCE = "governance"
    CONTEXT = "context-stitching"
    MONITORING = "monitoring"
    POLICY = "policy"
    DATA_PREP = "data-prep"
    AUDIT = "audit"


DOOR: Final = "door"
"""The stage before the first one: HTTP."""
TARGET: Final = "target"
"""Waiting for whoever answers; not ours, so it stands under no heading."""


@dataclass(slots=True, eq=False)
class Booked:
    """The time that one stage took so far."""

    stage: str
    heading: Heading | None
    """None: it was waiting for targets."""
    seconds: float = 0.0


class Stopwatch:
    """Books every moment since it was made to exactly one stage.

    The stages of the path follow each other: ``at`` begins the next one. A stage inside another,
    ``within``, has its own time; of several the innermost that is open. They may end in another
    order than they began, as those of two calls under way at once do. A stage that is entered
    again adds to its entry.

    Attributes:
        running: the stages that are open, the innermost last.
        mark: up to when the time is booked, by ``time.perf_counter``.
    """

    __slots__ = ("_booked", "mark", "running")

    def __init__(self, began: float | None = None) -> None:
        """``began``: when that was, by ``time.perf_counter``, if not now."""
        door = Booked(DOOR, Heading.ROUTING)
        self._booked = {DOOR: door}
        self.running = [door]
        self.mark = time.perf_counter() if began is None else began

    def __iter__(self) -> Iterator[Booked]:
        """Every stage in the order of its first entry, up to this moment."""
        self._move()
        return iter(self._booked.values())

    @property
    def overhead_s(self) -> float:
        """All but waiting for targets, seconds."""
        return sum(each.seconds for each in self if each.heading is not None)

    def read(self) -> tuple[dict[str, float], dict[Heading, float]]:
        """Seconds by stage and by heading, both up to the same moment.

        Those of the headings add up to the overhead.
        """
        stages: dict[str, float] = {}
        headings = dict.fromkeys(Heading, 0.0)
        for each in self:
            stages[each.stage] = each.seconds
            if each.heading is not None:
                headings[each.heading] += each.seconds
        return stages, headings

    def forget(self) -> None:
        """Nobody asks any more."""
        self._booked.clear()

    def at(self, heading: Heading, name: str) -> None:
        """From now on the request is at this stage of its path, until the next one begins."""
        # Written out: two dozen times a request, a call costs as much as what it does.
        now, running = time.perf_counter(), self.running
        running[-1].seconds += now - self.mark
        self.mark = now
        booked = self._booked.get(name)
        if booked is None:
            booked = self._booked[name] = Booked(name, heading)
        running[0] = booked

    def within(self, heading: Heading | None, name: str) -> Stage:
        """Books the time inside a ``with`` block, also when it raises; may be entered again."""
        return Stage(self, self._of(heading, name))

    def waiting(self) -> Stage:
        """The same, to waiting for targets."""
        return Stage(self, self._of(None, TARGET))

    def _of(self, heading: Heading | None, name: str) -> Booked:
        booked = self._booked.get(name)
        if booked is None:
            booked = self._booked[name] = Booked(name, heading)
        return booked

    def _move(self) -> None:
        now = time.perf_counter()
        self.running[-1].seconds += now - self.mark
        self.mark = now


class Stage:
    """One stage of one request, for ``with``: its time until it ends is its own, and from then on
    that of the stage around it.

    Written out as ``at`` is: a stream enters two of them with each of its events.
    """

    __slots__ = ("_booked", "_watch")

    def __init__(self, watch: Stopwatch, booked: Booked) -> None:
        self._watch = watch
        self._booked = booked

    def __enter__(self) -> None:
        now, watch = time.perf_counter(), self._watch
        running = watch.running
        running[-1].seconds += now - watch.mark
        watch.mark = now
        running.append(self._booked)

    def __exit__(self, *_: object) -> None:
        now, watch, booked = time.perf_counter(), self._watch, self._booked
        running = watch.running
        running[-1].seconds += now - watch.mark
        watch.mark = now
        if running[-1] is booked:
            running.pop()
            return
        running.pop(next(n for n in range(len(running) - 1, 0, -1) if running[n] is booked))
