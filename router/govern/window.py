"""A bounded window on the answer: what is not yet known to be fit for the client waits in it.

    checked = CheckedAnswer(answer, FORMATS[endpoint], checks)
    await checked.begin()               # optional: raises Violation while nothing has left
    async for piece in checked.chunks() # raises it later

Checks see one sequence of texts for each place in the answer (``router.wire.spoken``), whatever the
API and however its bytes were cut, streamed or whole. Events leave in order and as they came, as
soon as no check wants any of their text to wait. Nothing leaves before some text may: a violation
in the beginning of an answer still has a status of its own.

**Asking again.** ``begin`` returns when the first text may leave; of a whole answer, when all of it
may. It raises ``Violation`` in the place of that. The pipeline may then close this answer
(``aclose``), add ``Violation.reason`` to the request, send it again and check that answer anew with
``Violation.retryable`` saying whether that makes sense. Once ``begin`` returned, ``chunks`` raises
a violation as the error that ends a stream: the client gets its API's error event, never a
``stop``. A check that wants a violation found before the first byte holds its text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from router.delivery import Outgoing
from router.errors import RouterError, TargetBroken
from router.wire.endpoint import Usage
from router.wire.events import Body, Event, Events, Piece
from router.wire.formats.base import Format
from router.wire.kinds import Kind
from router.wire.spoken import Place, Said, Unescaped

MAX_HELD_CHARS: Final = 4_096
"""When more of an answer waits, every check has to decide on what it has seen."""
MAX_HELD_BYTES: Final = 1024 * 1024
"""The same for the bytes of the events that wait."""
MAX_PLACES: Final = 4_096
"""Choices, blocks and tool calls in one answer."""


class Violation(RouterError):
    """The answer must not go out as it is.

    Attributes:
        reason: what was wrong, in words for a model that is to answer again.
        retryable: whether another answer to the same request may be better.
    """

    status = 403
    type = "permission_error"
    code = "content_policy_violation"

    def __init__(
        self, message: str, *, reason: str = "", retryable: bool = False, code: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.reason = reason or message
        self.retryable = retryable


class OutputCheck(Protocol):
    """Reads one answer and says how much of it must wait. One object an answer: it has a memory."""

    @property
    def lets_pass(self) -> int:
        """So many characters at a place may leave before it is shown them; mostly none."""
        ...

    async def see(self, place: Place, text: str, *, ended: bool) -> int:
        """The next text at a place.

        Args:
            place: where; texts at different places are different texts.
            text: what is new there; empty when only the end is news. A call's arguments come as
                the JSON text with its escapes read.
            ended: nothing follows at this place for now, or no more of it can be held: decide.
                More may follow all the same.

        Returns:
            How many of the newest characters at the place must not leave yet, those of earlier
            calls included; 0: all may. When ``ended``, it is not asked for and has no effect.

        Raises:
            RouterError: nothing of what is still held may leave; a ``Violation``, or that the
                check itself cannot work.
        """
        ...


class _Line:
    """What is known of one place.

    Attributes:
        raw: characters that the answer said there.
        seen: characters that are for the checks.
        free: of these, how many may leave, counted from the beginning.
        news: what the checks are to be shown next, as many characters as ``unseen``.
    """

    __slots__ = ("_unescaped", "free", "news", "place", "raw", "seen", "unseen")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.raw = self.seen = self.free = self.unseen = 0
        self.news: list[str] = []
        self._unescaped = Unescaped() if place.kind is Kind.ARGUMENTS else None

    def add(self, said: Said) -> bool:
        """Take a piece; whether there is anything new in it."""
        text = said.text[self.raw :] if said.whole else said.text
        if not text:
            return False
        self.raw += len(text)
        if self._unescaped is not None:
            text = self._unescaped.read(text)
        self.seen += len(text)
        self.unseen += len(text)
        self.news.append(text)
        return True

    def may_pass(self, unseen: int) -> bool:
        """Whether no check waits for more, and so many characters need not be shown yet."""
        return 0 < self.unseen <= unseen and self.free >= self.seen - self.unseen


class CheckedAnswer:
    """Stands for ``answer``: the same bytes, once every check let them pass.

    Args:
        answer: what was given.
        wire: its format.
        checks: of this answer; without any it passes untouched.
        booked: entered while checks work, not while the answer is waited for.
    """

    def __init__(
        self,
        answer: Outgoing,
        wire: Format,
        checks: Sequence[OutputCheck],
        booked: AbstractContextManager[object] | None = None,
    ) -> None:
        self._answer = answer
        self._wire = wire
        self._checks = checks
        self._lets_pass = min([each.lets_pass for each in checks], default=0)
        self._booked = booked or nullcontext()
        self._source: AsyncIterator[Piece] = answer.chunks()
        self._held: deque[tuple[Event, list[tuple[_Line, int]]]] = deque()
        self._held_bytes = 0
        self._lines: dict[Place, _Line] = {}
        self._current: dict[int, _Line] = {}
        self._open: dict[Place, _Line] = {}
        """Those with news, or with text that waits."""
        self._begun = False
        self._over = False
        self._ready: list[Piece] = []
        self._failure: TargetBroken | None = None
        self._last = b""
        self.status = answer.status
        self.content_type = answer.content_type
        self.is_stream = answer.content_type.startswith("text/event-stream")

    @property
    def usage(self) -> Usage:
        """Token counts as the target reported them."""
        return self._answer.usage

    async def begin(self) -> None:
        """Read until something may leave. Raises what ``chunks`` would raise before it."""
        while self._checks and not self._ready and not self._over:
            await self._read()
        if self._failure is not None and not self._ready:
            raise self._failure

    async def chunks(self) -> AsyncIterator[Piece]:
        """What may leave, as soon as it may.

        Raises:
            RouterError: a check's; nothing more leaves.
            TargetBroken: the answer broke; what was said before has left.
        """
        if not self._checks:
            async for piece in self._source:
                yield piece
            return
        while True:
            while self._ready:
                yield self._ready.pop(0)
            if self._failure is not None:
                raise self._failure
            if self._over:
                return
            await self._read()

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        self._held.clear()
        await self._answer.aclose()

    # Reading

    async def _read(self) -> None:
        """The next run of events, or the whole body."""
        if not self.is_stream:
            pieces = [piece async for piece in self._source if piece]
            one = pieces[0] if len(pieces) == 1 else None
            body = one if isinstance(one, Body) else Body(b"".join([each.raw for each in pieces]))
            self._over = True
            with self._booked:
                await self._look_at_whole(body)
            self._ready.append(body)
            return
        try:
            run = await anext(self._source, None)
        except TargetBroken as error:
            self._failure, run = error, None
        with self._booked:
            try:
                await self._take(run)
            except RouterError as error:
                error.sequence = self._wire.next_number(self._last)
                raise

    async def _take(self, run: Piece | None) -> None:
        if run is None:
            await self._show(ended=True)
            self._over = True
            if self._failure is None:
                self._begun = True  # else: what only announced an answer that broke does not leave
            if released := self._released():
                self._pass(Events.of(released))
            return
        assert isinstance(run, Events)
        is_first_in_line, count, held = not self._held, 0, self._held
        for event in run:
            marks: list[tuple[_Line, int]] = []
            for said in self._said(event):
                line, before = self._line(said.place)
                if before is not None:
                    await self._ask(before, ended=True)
                if line.add(said):
                    self._open[line.place] = line
                    marks.append((line, line.seen))
            held.append((event, marks))
            self._held_bytes += len(event.raw)
            count += 1
        ended = self._wire.mark in run.raw and self._wire.ends(run.raw)
        await self._show(ended=ended)
        self._begun = self._begun or ended
        released = self._released()
        if is_first_in_line and len(released) == count:
            self._pass(run)  # untouched, and not joined again
        elif released:
            self._pass(Events.of(released))

    def _pass(self, run: Events) -> None:
        self._last = run.raw
        self._ready.append(run)

    def _said(self, event: Event | Body) -> Iterable[Said]:
        """Raises ``TargetBroken``: what cannot be read cannot be checked."""
        try:
            found = event.object() if isinstance(event, Event) else event.json
            if found is None:
                return ()
            return tuple(self._wire.said(found))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TargetBroken("The answer does not have the shape of its API.") from error

    def _line(self, place: Place) -> tuple[_Line, _Line | None]:
        """The line of a place; and what ends with it, that of another place in the same choice."""
        line = self._lines.get(place)
        if line is None:
            if len(self._lines) >= MAX_PLACES:
                raise TargetBroken("The answer has too many parts.")
            line = self._lines[place] = _Line(place)
        if place.kind is Kind.OTHER:
            return line, None
        before = self._current.get(place.choice)
        if before is line:
            return line, None
        self._current[place.choice] = line
        return line, before

    # Asking

    async def _show(self, *, ended: bool) -> None:
        """Have the checks read what is new, and decide where they have to."""
        waiting = 0
        for line in list(self._open.values()):
            ends = ended or line.place.kind is Kind.OTHER
            if not ends and line.may_pass(self._lets_pass):
                line.free, self._begun = line.seen, True
                continue
            await self._ask(line, ended=ends)
            waiting += line.seen - line.free
        if waiting > MAX_HELD_CHARS or self._held_bytes > MAX_HELD_BYTES:
            for line in list(self._open.values()):
                await self._ask(line, ended=True)
            self._begun = True

    async def _ask(self, line: _Line, *, ended: bool) -> None:
        """One place; without news only whether it has ended is worth asking."""
        if not line.news and (not ended or line.free == line.seen):
            return
        text = line.news[0] if len(line.news) == 1 else "".join(line.news)
        line.news.clear()
        line.unseen = held = 0
        for check in self._checks:
            held = max(held, await check.see(line.place, text, ended=ended))
        line.free = line.seen if ended else max(line.free, line.seen - held)
        if line.free:
            self._begun = True
        if line.free == line.seen:
            self._open.pop(line.place, None)

    async def _look_at_whole(self, body: Body) -> None:
        """All of a whole answer at once."""
        if body.json is None:
            raise TargetBroken("The answer is not a JSON object.")
        for said in self._said(body):
            line, _ = self._line(said.place)
            if line.add(said):
                self._open[line.place] = line
        await self._show(ended=True)

    def _released(self) -> list[Event]:
        """The events whose text may leave, in their order; none before the first text may."""
        events: list[Event] = []
        while self._begun and self._held:
            event, marks = self._held[0]
            if marks and any(line.free < end for line, end in marks):
                break
            self._held.popleft()
            self._held_bytes -= len(event.raw)
            events.append(event)
        return events
