"""Erasures by subject: asked for once, done until nothing is left, certified with a signature.

Each is a file below ``erasures/``, which holds the person's name only as long as it is under way.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.atomic import sweep, write_file
from adapters.records.erasable import FOUND, Erasable, erase_all
from adapters.records.erasing import RecordPayloads
from adapters.records.holds import Holds
from adapters.records.line import Entry, Kind, iso
from adapters.records.subjects import Subjects
from adapters.records.writer import RecordLog

_ID: Final = re.compile(r"era_[0-9a-f]{24}")
_MAX_OPEN: Final = 1000
_log = logging.getLogger("graftwork.records")

State = Literal["queued", "running", "done", "failed"]
Elsewhere = Callable[[str], Awaitable[Counter[str]]]
"""Has every other process erase from what it keeps. Raises when one cannot be reached."""


class TooMany(Exception):
    """So many erasures are under way that no more are taken."""


class Erasure(BaseModel):
    """One of them. ``subject`` is None from the moment that it is done."""

    model_config = ConfigDict(extra="forbid")

    id: str
    state: State = "queued"
    subject: str | None
    by: str | None
    request_id: str | None = None
    time: str
    found: dict[str, int] = dict.fromkeys(FOUND, 0)
    also: dict[str, int] = {}
    reason: str | None = None
    certificate: dict[str, Any] | None = None

    def count(self, found: Counter[str]) -> None:
        """Add what was erased."""
        for name, number in found.items():
            into = self.found if name in FOUND else self.also
            into[name] = into.get(name, 0) + number

    def shown(self) -> dict[str, Any]:
        """As clients get it: without the name."""
        return self.model_dump(exclude={"subject", "by", "request_id"})


class Erasures:
    """All of them, of one state directory.

    Args:
        directory: where they are kept.
        log: the log of requests and admin actions.
        rooms: what this process keeps of persons.
        elsewhere: what others do.
        on_state: told of every change of state, by the erasure's id.
        rewrite: leaves nothing of what the rooms removed in their databases' files. A large one
            takes its time, so it is called once for all erasures that are under way. Blocks.
        last: what looks for copies after that.
        kept: so many that are done are kept, the newest.
    """

    def __init__(
        self,
        directory: Path,
        log: RecordLog,
        rooms: Iterable[Erasable],
        elsewhere: Elsewhere,
        on_state: Callable[[str, State], object] = lambda _id, _state: None,
        *,
        rewrite: Callable[[], None] = lambda: None,
        last: Iterable[Erasable] = (),
        kept: int = 10_000,
    ) -> None:
        self._on_state = on_state
        self._rewrite = rewrite
        self._last = tuple(last)
        self._kept = kept
        self._done: dict[str, str] = {}
        """When those that are done were asked for, by id: nobody has to read them again."""
        self._told: dict[str, State] = {}
        self._directory = directory
        self._log = log
        self._records = RecordPayloads(log)
        self._rooms = (*rooms, self._records)
        self._elsewhere = elsewhere
        self._holds = Holds(log.layout)

    def ask(self, subject: str, by: str | None, request_id: str | None) -> Erasure:
        """Take one on. Blocks. Raises ``TooMany``, ``OSError``."""
        if len(self._open()) >= _MAX_OPEN:
            raise TooMany(f"{_MAX_OPEN} erasures are under way")
        identity = f"era_{secrets.token_hex(12)}"
        made = Erasure(
            id=identity, subject=subject, by=by, request_id=request_id, time=iso(time.time())
        )
        self._write(made)
        return made

    def find(self, identity: str) -> Erasure | None:
        """One of them. Blocks. Raises ``OSError``."""
        if _ID.fullmatch(identity) is None:
            return None
        try:
            return Erasure.model_validate_json((self._directory / f"{identity}.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise OSError(f"the erasure {identity} cannot be read") from error

    async def work(self) -> None:
        """Do all that is left to do; what fails is tried again by the next call.

        Raises what the last failure was.
        """
        await asyncio.to_thread(sweep, self._directory)  # a draft has the name too
        failures: list[Exception] = []
        under_way = await asyncio.to_thread(self._open)
        emptied = [each for each in under_way if await self._tried(each, self._empty, failures)]
        if emptied:
            rewrite = asyncio.ensure_future(asyncio.to_thread(self._rewrite))
            await asyncio.wait({rewrite})

            async def finish(each: Erasure) -> None:
                await rewrite
                await self._finish(each)

            for each in emptied:
                await self._tried(each, finish, failures)
        await asyncio.to_thread(self._forget_old)
        if failures:
            raise failures[-1]

    async def _tried(
        self,
        erasure: Erasure,
        step: Callable[[Erasure], Awaitable[None]],
        failures: list[Exception],
    ) -> bool:
        """Do one step of one; where that fails it has failed, and the others go on all the same."""
        try:
            await step(erasure)
        except Exception as error:  # noqa: BLE001 - whatever it is
            _log.warning("the erasure %s is tried again: %s", erasure.id, type(error).__name__)
            erasure.state, erasure.reason = "failed", f"{type(error).__name__}: it is tried again"
            await asyncio.to_thread(self._write, erasure)
            failures.append(error)
            return False
        return True

    async def _empty(self, erasure: Erasure) -> None:
        erasure.state, erasure.reason = "running", None
        await asyncio.to_thread(self._write, erasure)
        await self._erase_from(self._rooms, erasure)

    async def _finish(self, erasure: Erasure) -> None:
        await self._erase_from(self._last, erasure)
        subject = _subject_of(erasure)
        name = Subjects(self._log.layout.root).hash(subject)
        held = await asyncio.to_thread(self._held, subject, name)
        if not _is_held_whole(held):
            erasure.count(await self._elsewhere(subject))
        await self._certify(erasure, name, held)

    async def _erase_from(self, rooms: Iterable[Erasable], erasure: Erasure) -> None:
        subject = _subject_of(erasure)
        name = Subjects(self._log.layout.root).hash(subject)
        if _is_held_whole(await asyncio.to_thread(self._held, subject, name)):
            return
        # Each is counted when it is done, durably: the next attempt, perhaps of another process,
        # would not find it any more.
        for room in rooms:
            erasure.count(await erase_all([room], subject))
            await asyncio.to_thread(self._put, erasure)

    def _held(self, subject: str, name: str) -> list[dict[str, Any]]:
        """What legal holds keep of it: all of a person's data, or some records."""
        whole = [{"hold": hold.id, "whole": True} for hold in self._holds.of_subject(name)]
        records = 0 if whole else self._records.held(subject)
        return [*whole, *([{"records": records, "whole": False}] if records else [])]

    async def _certify(self, erasure: Erasure, name: str, held: list[dict[str, Any]]) -> None:
        certificate: dict[str, Any] = {
            "id": erasure.id,
            "subject_hash": name,
            "found": erasure.found,
            "time": iso(time.time()),
        }
        if erasure.also:
            certificate["also"] = erasure.also
        if held:
            certificate["held"] = held
        fields = {
            "erasure": erasure.id,
            "subjects": [name],
            "found": erasure.found,
            "held": held,
        }
        entry = Entry(Kind.ERASURE, time.time(), None, None, erasure.by, fields)
        await self._log.reached(self._log.add(entry))
        erasure.certificate = await asyncio.to_thread(self._log.sealer.signer.sign, certificate)
        erasure.state, erasure.subject = "done", None
        await asyncio.to_thread(self._write, erasure)

    def all(self) -> list[Erasure]:
        """Every one of them, the oldest first. Blocks. Raises ``OSError``."""
        found = (self.find(path.stem) for path in self._directory.glob("era_*.json"))
        return sorted((each for each in found if each is not None), key=lambda each: each.time)

    @property
    def done(self) -> int:
        """How many that are done are kept, at the last look."""
        return len(self._done)

    def _open(self) -> list[Erasure]:
        """Those that are not done, the oldest first."""
        found = []
        for path in self._directory.glob("era_*.json"):
            if path.stem in self._done or (each := self.find(path.stem)) is None:
                continue
            if each.state == "done":
                self._done[each.id] = each.time
            else:
                found.append(each)
        return sorted(found, key=lambda each: each.time)

    def _forget_old(self) -> None:
        """Of what is done only the newest stay; that it was done is in the log."""
        oldest_first = sorted(self._done, key=lambda each: (self._done[each], each))
        for identity in oldest_first[: -self._kept]:
            (self._directory / f"{identity}.json").unlink(missing_ok=True)
            del self._done[identity]

    def _write(self, erasure: Erasure) -> None:
        self._put(erasure)
        if self._told.get(erasure.id) != erasure.state:
            self._told[erasure.id] = erasure.state
            self._on_state(erasure.id, erasure.state)
        if erasure.state == "done":
            self._told.pop(erasure.id)
            self._done[erasure.id] = erasure.time

    def _put(self, erasure: Erasure) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(self._directory / f"{erasure.id}.json", erasure.model_dump_json().encode())


def _subject_of(erasure: Erasure) -> str:
    assert erasure.subject is not None
    return erasure.subject


def _is_held_whole(held: Iterable[dict[str, Any]]) -> bool:
    return any(hold["whole"] for hold in held)
