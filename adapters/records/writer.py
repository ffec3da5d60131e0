"""Writes records in groups from a thread of its own: whoever adds one only appends to a queue."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from adapters.records.appending import Head, OpenSegment, Sealed, seal_any, seal_group
from adapters.records.config import RecordsConfig
from adapters.records.files import Layout, Segment, writer_name
from adapters.records.index import OpenIndex
from adapters.records.line import Entry, Kind
from adapters.records.recovery import adopt
from adapters.records.retention import prune
from adapters.records.room import FULL, Room
from adapters.records.sealing import Sealer
from adapters.records.signing import Signer
from adapters.records.waiters import Waiters

RETRY_S: Final = 0.1
STALLED_S: Final = 5.0
"""A disk that keeps one group so long is taken for one that takes nothing."""
TEND_S: Final = 60.0
"""A log that is not written to looks so often for what is too old."""
ROOM_S: Final = 0.5
"""So often somebody looks whether there is room."""
PATIENCE_S: Final = 10.0
"""So long a waiter waits for the disk."""
PAYLOADS_S: Final = 0.05
"""Payloads outlive a power cut after so long at the latest; a crash of the process they outlive at
once."""
_MAX_GROUP = 1000
_log = logging.getLogger("graftwork.records")


class Unavailable(Exception):
    """The disk does not take records; the message says what it says."""


@dataclass(frozen=True, slots=True)
class Current:
    """The segment that is being written, for who reads this log in the same process."""

    segment: Segment
    index: OpenIndex


class RecordLog:
    """One writer of one directory. ``add`` belongs to one event loop; the rest is thread-safe.

    Nothing that was added is ever dropped: whoever begins something asks ``refusal`` first.

    Args:
        root: where the log is; made when it is missing.
        writer: unique name of this process.
        config: limits and times.
        sealer: what signs the directory's records; default: with the key that is there.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        root: Path,
        writer: str,
        config: RecordsConfig,
        sealer: Sealer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.layout = Layout(root)
        self.writer = writer_name(writer)
        self._config = config
        self.sealer = sealer or Sealer(self.layout, Signer(root))
        self._clock = clock
        self._queue: deque[Entry] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._timer: asyncio.TimerHandle | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiters: tuple[Waiters, ...] = ()
        self._head = Head()
        self._next_tending_s = 0.0
        self._room = Room(root)
        self._no_room: str | None = None
        self._next_look_s = 0.0
        self._file: OpenSegment | None = None
        self._opened_s = 0.0
        self._payloads_due_s: float | None = None
        self._open_requests: dict[str, tuple[str | None, str | None]] = {}
        self._failing: str | None = None
        self._group_since_s: float | None = None
        self.added = 0
        self.durable = 0
        """How many of the added ones survive a crash by now."""
        self.lost = 0
        """Records that were left when the disk failed at the end."""
        self.found_lost_s = 0.0
        """When requests without an end were last found, of a process that is gone; 0: never."""

    @property
    def queued(self) -> int:
        """Records that wait for the disk."""
        return self.added - self.durable

    @property
    def current(self) -> Current | None:
        """What is being written now."""
        file = self._file
        return None if file is None else Current(file.segment, file.index)

    def refusal(self) -> str | None:
        """Why nothing new should be begun; None when there is room."""
        if self._has_ended:
            return f"Nothing is written below {self.layout.root} any more; the log says why."
        if self._failing is not None:
            return f"Records cannot be written below {self.layout.root}: {self._failing}."
        if self._no_room is not None:
            return f"There is no room for records below {self.layout.root}: {self._no_room}."
        since_s = self._group_since_s
        if since_s is not None and time.monotonic() - since_s > STALLED_S:
            return f"The disk below {self.layout.root} takes no records for {STALLED_S:g} s."
        if self.queued >= self._config.max_queued:
            return f"{self.queued} records wait for the disk below {self.layout.root}."
        return None

    @property
    def _has_ended(self) -> bool:
        return self._thread is not None and not self._thread.is_alive()

    def check(self) -> None:
        """For health checks. Raises ``Unavailable`` when the thread that writes has ended."""
        if self._has_ended:
            raise Unavailable(self.refusal() or "")

    def add(self, entry: Entry) -> int:
        """Take one entry, never waiting; what ``reached`` is asked for."""
        self.added += 1
        self._queue.append(entry)
        if self._timer is None:
            self._ring_soon()
        return self.added

    def _ring_soon(self) -> None:
        """Wake the thread when a group has formed, unless somebody who waits does before."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._ring()
            return
        if not self._config.sync_ms:
            self._ring()
            return
        self._timer = loop.call_later(self._config.sync_ms / 1000, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self._queue:
            self._ring()

    def _ring(self) -> None:
        # Once for a group: the thread puts it down before it looks into the queue.
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    async def reached(self, position: int, timeout_s: float | None = None) -> None:
        """Wait until the entry that ``add`` gave this position is on disk.

        Raises ``Unavailable`` when it is not in ``timeout_s`` (default: ``PATIENCE_S``); it will
        be, once the disk takes it.
        """
        if self.durable >= position:
            return
        if self._thread is None:
            raise Unavailable("the log is not being written")
        waiters = self._waiters_here()
        done = waiters.add(position, PATIENCE_S if timeout_s is None else timeout_s)
        self._ring()
        if self.durable >= position:  # while this was added
            waiters.tell(self.durable)
        try:
            await done
        except TimeoutError as error:
            raise Unavailable(self.refusal() or "the disk is slow") from error

    def _waiters_here(self) -> Waiters:
        loop = asyncio.get_running_loop()
        for each in self._waiters:
            if each.loop is loop:
                return each
        made = Waiters(loop)
        self._waiters = (*(each for each in self._waiters if not each.loop.is_closed()), made)
        return made

    async def flushed(self) -> None:
        """Wait until all that was added so far is on disk. Raises ``Unavailable``."""
        await self.reached(self.added)

    def start(self) -> None:
        """Begin to write. Raises ``OSError`` when the directory cannot be made."""
        self.layout.make()
        self.layout.sweep()
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left, then stop. Blocks; a failing disk is tried once more."""
        self._closing.set()
        self._bell.put(None)
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # The thread

    def _run(self) -> None:
        while True:
            self._tend()
            with suppress(Empty):
                self._bell.get(timeout=self._pause_s())
            self._rung = False
            while group := self._take():
                if self._write(group):
                    self.durable += len(group)
                    for waiters in self._waiters:
                        waiters.tell_soon(self.durable)
                self._sync_payloads_due()
            self._sync_payloads_due()
            if self._closing.is_set() and not self._queue:
                break
        self._finish()

    def _tend(self) -> None:
        """What is done now and then, between groups."""
        now = time.monotonic()
        if now >= self._next_look_s:
            self._next_look_s = now + ROOM_S
            self._chore(self._look_for_room)
        if now >= self._next_tending_s:
            self._next_tending_s = now + TEND_S
            self._chore(self._recover)
            self._chore(self._prune)

    def _chore(self, work: Callable[[], None]) -> None:
        """A chore that breaks must not end the thread that every request waits for."""
        try:
            work()
        except Exception:  # noqa: BLE001 - it is told, and due again
            _log.exception("records_chore_failed", extra={"chore": work.__name__.strip("_")})

    def _look_for_room(self) -> None:
        self._no_room = self._room.look()

    def _recover(self) -> None:
        """Close the logs of processes that are gone."""
        try:
            closed = adopt(self.layout, self.writer, self._clock())
        except OSError as error:
            _log.error("what other processes left could not be closed: %s", error)
            return
        for writer, lost in closed.items():
            _log.warning("closed the records of %s: %d requests had no end", writer, lost)
            if lost:
                self.found_lost_s = self._clock()

    def _take(self) -> list[Entry]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_GROUP))]

    def _write(self, group: list[Entry]) -> bool:
        """On disk, or tried until it is; False when the log was closed before the disk took it."""
        self._group_since_s = time.monotonic()
        number = self._number_due()
        opens = self._file is None or number != self._file.segment.number
        if opens:
            group = [self._opening(number), *group]
        sealed = seal_any(self.writer, self._head, group)
        while not self._try(sealed, number):
            if self._closing.wait(RETRY_S) and not self._try(sealed, number):
                self.lost += len(group)
                return False
            if self._failing is None:
                break
        self._group_since_s = None
        self._head = sealed.head
        self._note(group)
        if opens:
            self._chore(self._prune)
        return True

    def _try(self, sealed: Sealed, number: int) -> bool:
        try:
            file = self._file
            if file is None or number != file.segment.number:
                file = self._open(number)
            file.append(sealed)
        except OSError as error:
            if error.errno in FULL and self._room.give_up():
                # For this it was set aside. New requests wait until it is again.
                self._no_room = error.strerror or str(error)
                return self._try(sealed, number)
            if self._failing is None:
                _log.error("records below %s cannot be written: %s", self.layout.root, error)
            self._failing = error.strerror or str(error)
            return False
        self._failing = None
        return True

    def _number_due(self) -> int:
        """Of the segment that the next group belongs into."""
        if self._file is None:
            return 0
        config, number = self._config, self._file.segment.number
        too_old = self._clock() - self._opened_s > config.segment_age_s
        return number + 1 if too_old or self._file.size >= config.segment_bytes else number

    def _open(self, number: int) -> OpenSegment:
        """Go on in a new file. The old one is locked until then: a writer without a lock is gone,
        and others close its log.
        """
        if self._file is not None:
            self._file.take_back()  # a statement of the log itself, which nobody tries again
        file = OpenSegment(self.layout, Segment(self.writer, number))
        self._leave_segment()
        self._file, self._opened_s = file, self._clock()
        return file

    def _opening(self, number: int) -> Entry:
        """Every segment says its own number first, and which requests are under way."""
        under_way = [[key, *ids] for key, ids in self._open_requests.items()]
        fields = {"about": "opened", "segment": number, "under_way": under_way}
        return Entry(Kind.CHECKPOINT, self._clock(), actor=self.writer, fields=fields)

    def _note(self, group: list[Entry]) -> None:
        for entry in group:
            if entry.decision_id is None:
                continue
            if entry.kind is Kind.BEGIN:
                self._open_requests[entry.decision_id] = (entry.request_id, entry.actor)
            elif entry.kind is Kind.END:
                self._open_requests.pop(entry.decision_id, None)

    def _pause_s(self) -> float:
        """How long there is nothing to do when nobody rings."""
        if self._payloads_due_s is None:
            return ROOM_S
        return min(ROOM_S, max(0.0, self._payloads_due_s - time.monotonic()))

    def _sync_payloads_due(self) -> None:
        """Now and then, not after each group: the next group would wait for it."""
        file, now = self._file, time.monotonic()
        if file is None or not file.has_unsynced:
            self._payloads_due_s = None
        elif self._payloads_due_s is None:
            self._payloads_due_s = now + PAYLOADS_S
        elif now >= self._payloads_due_s:
            self._sync_payloads()

    def _sync_payloads(self) -> None:
        """What nobody waits for: the records commit to the payloads, and are on disk."""
        self._payloads_due_s = None
        try:
            if self._file is not None:
                self._file.sync_payloads()
        except OSError as error:  # tried again as if they had just been written
            _log.error("payloads below %s cannot be synced: %s", self.layout.root, error)

    def _leave_segment(self) -> None:
        self._sync_payloads()
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.index.save(self.layout, file.segment)
        except OSError as error:  # whoever looks for something makes it again
            _log.warning("the index of %s could not be written: %s", file.segment.name, error)
        file.close()

    def _prune(self) -> None:
        """Keep the log within its bounds; what goes is named first."""
        if self._file is None:
            return
        try:
            prune(self.layout, self._config, self._clock(), self._state, self.sealer)
        except OSError as error:
            _log.error("old records could not be removed: %s", error)

    def _state(self, fields: dict[str, object]) -> None:
        """Have a statement of the log itself on disk. Raises ``OSError``."""
        entry = Entry(Kind.CHECKPOINT, self._clock(), actor=self.writer, fields=fields)
        sealed = seal_group(self.writer, self._head, [entry])
        assert self._file is not None
        self._file.append(sealed)
        self._head = sealed.head

    def _finish(self) -> None:
        self._room.give_up()
        if self._file is not None:
            try:
                self._state({"about": "closed"})
            except OSError as error:
                _log.error("the log could not be closed: %s", error)
            self._leave_segment()
        self._chore(self._seal)

    def _seal(self) -> None:
        """The end is covered by a checkpoint: who cuts it off is noticed."""
        self.sealer.seal()
