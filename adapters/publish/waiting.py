"""Pushes that came before the first engine: kept on the disk, in order, until one can be asked.

What may be served depends on the base, and which base it is only an engine can say. Until then a
version is ``received`` and its files lie here, one directory each, numbered as they came; whoever
stops in between, the next process finds them. The directory is the whole truth: nothing of it is
kept in memory. Where the content store is reached from other nodes, each has a copy there, which a
registry that starts on another node takes up.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from adapters.atomic import is_left_behind, sweep_scratch, sync, sync_tree
from adapters.errors import FleetError, StoreError
from adapters.format.names import ALIAS_PATTERN
from adapters.store.local import move_tree, remove_tree, store_errors
from adapters.store.parcels import Parcels

WAITS = "waits for the first engine"
"""Why a version is ``received`` and goes no further."""
_ENTRY = re.compile(rf"(\d{{12}})@({ALIAS_PATTERN})@([0-9a-f]{{64}})")
_DRAFT = ".draft-"
_LEFT_BEHIND_S = 3600.0
_log = logging.getLogger("graftwork.adapters")


class QueueFull(FleetError):
    """As many pushes wait for the first engine as may."""

    code = "waiting-full"
    remedy = "Try again when an engine is up, or retire one that waits."


@dataclass(frozen=True, slots=True)
class Waiting:
    """One push that waits. ``path``: its PEFT directory."""

    number: int
    alias: str
    digest: str
    path: Path


class WaitingRoom:
    """At most ``limit`` pushes (law 9). Synchronous; a listing is short.

    One caller at a time may ``take`` one alias and digest.

    Args:
        folder: where they lie.
        limit: how many may wait.
        elsewhere: where other nodes find them too, for a registry that starts on another one; None:
            nowhere.
    """

    def __init__(self, folder: Path, limit: int, elsewhere: Parcels | None = None) -> None:
        self._folder = folder
        self.limit = limit
        self._elsewhere = elsewhere
        self._coming: set[Path] = set()

    def entries(self, alias: str | None = None) -> list[Waiting]:
        """Who waits, of one alias or of all, in the order in which they came."""
        try:
            paths = list(self._folder.iterdir())
        except FileNotFoundError:
            return []
        found = [each for path in paths if (each := _waiting(path)) is not None]
        return sorted(
            (each for each in found if alias in {None, each.alias}), key=lambda each: each.number
        )

    def missing(self) -> list[Waiting]:
        """Who waits elsewhere and not here. Raises ``StoreError``."""
        if self._elsewhere is None:
            return []
        here = {entry.path.name for entry in self.entries()}
        found = [_waiting(self._folder / name) for name in self._elsewhere.names()]
        return [each for each in found if each is not None and each.path.name not in here]

    def bring(self, entry: Waiting) -> None:
        """Fetch one that waits elsewhere. Raises ``StoreError``."""
        assert self._elsewhere is not None
        with store_errors("fetching what waits"):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._elsewhere.fetch(entry.path.name, entry.path)

    def find(self, alias: str, digest: str) -> Waiting | None:
        """The push of these bytes, when it waits."""
        return next((each for each in self.entries(alias) if each.digest == digest), None)

    def require_room(self) -> None:
        """Raises ``QueueFull``."""
        if (number := len(self.entries())) >= self.limit:
            raise QueueFull(f"{number} pushes wait for the first engine already")

    def take(self, directory: Path, alias: str, digest: str) -> None:
        """Move a private directory in; it is on the disk when this returns.

        Raises ``QueueFull``, ``StoreError`` (``StoreFull`` without room on the disk).
        """
        self.require_room()
        with store_errors(f"keeping {alias} until an engine is up"):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self._folder / f"{_DRAFT}{alias}@{digest}"
            remove_tree(draft)
            self._coming.add(draft)
            try:
                move_tree(directory, draft)
                sync_tree(draft)
                before = self.entries()
                number = before[-1].number + 1 if before else 1
                place = self._folder / f"{number:012d}@{alias}@{digest}"
                draft.rename(place)
            except BaseException:
                remove_tree(draft)
                raise
            finally:
                self._coming.discard(draft)
            sync(self._folder)
        self._keep_elsewhere(place)

    def _keep_elsewhere(self, place: Path) -> None:
        """It is accepted already: it can wait here alone."""
        if self._elsewhere is None:
            return
        try:
            self._elsewhere.keep(place.name, place)
        except StoreError as error:
            _log.warning("waits_here_alone", extra={"entry": place.name, "why": str(error)})

    def leave(self, entry: Waiting) -> None:
        """Let its files go. Raises ``StoreError``."""
        if self._elsewhere is not None:
            self._elsewhere.drop(entry.path.name)
        with store_errors("clearing away what waited"):
            remove_tree(entry.path)

    def sweep(self) -> None:
        """Remove what a process that died was still bringing in. Raises ``StoreError``."""
        with store_errors("clearing away what was left behind"):
            for path in self._folder.glob(f"{_DRAFT}*"):
                # What is moved in keeps its time, and may be old when it comes.
                if path not in self._coming and is_left_behind(path, _LEFT_BEHIND_S):
                    remove_tree(path)
            sweep_scratch(self._folder)


def _waiting(path: Path) -> Waiting | None:
    """A push by the name of its directory."""
    match = _ENTRY.fullmatch(path.name)
    return None if match is None else Waiting(int(match[1]), match[2], match[3], path)
