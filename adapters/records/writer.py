"""Writes records in groups from a thread of its own: whoever adds one only appends to a queue."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.records.appending import Head, OpenSegment, Sealed, seal_group
from adapters.records.config import RecordsConfig
from adapters.records.files import Layout, Segment, writer_name
from adapters.records.index import OpenIndex
from adapters.records.line import Entry, Kind, canonical
from adapters.records.recovery import adopt
from adapters.records.retention import prune
from adapters.records.sealing import Sealer
from adapters.records.signing import Signer

RETRY_S: Final = 0.1
STALLED_S: Final = 5.0
"""A disk that keeps one group so long is taken for one that takes nothing."""
TEND_S: Final = 60.0
"""A log that is not written to looks so often for what is too old."""
PATIENCE_S: Final = 10.0
"""So long a waiter waits for the disk."""
_MAX_GROUP = 1000
_log = logging.getLogger("graftwork.records")

_Waiter = tuple[int, asyncio.AbstractEventLoop, asyncio.Future[None]]


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
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting: deque[_Waiter] = deque()
        self._head = Head()
        self._next_tending_s = 0.0
        self._file: OpenSegment | None = None
        self._opened_s = 0.0
        self._open_requests: dict[str, tuple[str | None, str | None]] = {}
        self._failing: str | None = None
        self._group_since_s: float | None = None
        self.added = 0
        self.durable = 0
        """How many of the added ones survive a crash by now."""
        self.lost = 0
        """Records that were left when the disk failed at the end."""

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
        if not self._wake.is_set():
            self._wake.set()
        return self.added

    async def reached(self, position: int, timeout_s: float | None = None) -> None:
        """Wait until the entry that ``add`` gave this position is on disk.

        Raises ``Unavailable`` when it is not in ``timeout_s`` (default: ``PATIENCE_S``); it will
        be, once the disk takes it.
        """
        if self.durable >= position:
            return
        if self._thread is None:
            raise Unavailable("the log is not being written")
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting.append((position, loop, done))
        self._hurry.set()
        if self.durable >= position:  # while this was put into the queue
            return
        try:
            async with asyncio.timeout(PATIENCE_S if timeout_s is None else timeout_s):
                await done
        except TimeoutError as error:
            raise Unavailable(self.refusal() or "the disk is slow") from error

    async def flushed(self) -> None:
        """Wait until all that was added so far is on disk. Raises ``Unavailable``."""
        await self.reached(self.added)

    def start(self) -> None:
        """Begin to write. Raises ``OSError`` when the directory cannot be made."""
        self.layout.make()
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left, then stop. Blocks; a failing disk is tried once more."""
        self._closing.set()
        self._wake.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # The thread

    def _run(self) -> None:
        while True:
            self._tend()
            if not self._wake.wait(TEND_S):
                continue
            self._hurry.wait(self._config.sync_ms / 1000)
            self._wake.clear()
            self._hurry.clear()
            while group := self._take():
                if self._write(group):
                    self.durable += len(group)
                    self._tell()
                    self._sync_payloads()
            if self._closing.is_set() and not self._queue:
                break
        self._finish()

    def _tend(self) -> None:
        """What is done now and then, between groups."""
        now = time.monotonic()
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

    def _recover(self) -> None:
        """Close the logs of processes that are gone."""
        try:
            closed = adopt(self.layout, self.writer, self._clock())
        except OSError as error:
            _log.error("what other processes left could not be closed: %s", error)
            return
        for writer, lost in closed.items():
            _log.warning("closed the records of %s: %d requests had no end", writer, lost)

    def _take(self) -> list[Entry]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_GROUP))]

    def _write(self, group: list[Entry]) -> bool:
        """On disk, or tried until it is; False when the log was closed before the disk took it."""
        self._group_since_s = time.monotonic()
        number = self._number_due()
        opens = self._file is None or number != self._file.segment.number
        if opens:
            group = [self._opening(number), *group]
        sealed = self._sealed(group)
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

    def _sealed(self, group: list[Entry]) -> Sealed:
        try:
            return seal_group(self.writer, self._head, group)
        except (ValueError, TypeError):
            # One odd entry must not take its neighbours along: it is recorded without its fields.
            fit = [entry if _fits(entry) else _plain(entry) for entry in group]
            return seal_group(self.writer, self._head, fit)

    def _try(self, sealed: Sealed, number: int) -> bool:
        try:
            file = self._file
            if file is None or number != file.segment.number:
                file = self._open(number)
            file.append(sealed)
        except OSError as error:
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

    def _sync_payloads(self) -> None:
        """What nobody waits for: the records commit to the payloads, and are on disk."""
        try:
            if self._file is not None:
                self._file.sync_payloads()
        except OSError as error:  # tried again after the next group
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

    def _tell(self) -> None:
        """Wake up who waits for what is durable now, all at once."""
        ready: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        still: list[_Waiter] = []
        for _ in range(len(self._waiting)):
            waiter = self._waiting.popleft()
            if waiter[0] <= self.durable:
                ready.setdefault(waiter[1], []).append(waiter[2])
            else:
                still.append(waiter)
        self._waiting.extend(still)
        for loop, futures in ready.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish_all, futures)


def _fits(entry: Entry) -> bool:
    try:
        canonical([entry.fields, entry.request_id, entry.decision_id, entry.actor])
    except (ValueError, TypeError):
        return False
    return True


def _plain(entry: Entry) -> Entry:
    told = ascii(dict(entry.fields))[:2048]
    return Entry(entry.kind, entry.at, fields={"unencodable": told}, payload=entry.payload)


def _finish_all(futures: list[asyncio.Future[None]]) -> None:
    for done in futures:
        if not done.done():
            done.set_result(None)
