"""The watched store: what is finished is pushed, what is bad gets its reasons put beside it.

An entry is taken when it is complete (``_SUCCESS``) or has not changed for ``settle_s``; its files
are copied first and the copy is judged, so that nobody can change it in between. The registry
remembers each entry's fingerprint and the base of that time: content is taken once, and again only
after it, or the base that is served, has changed. A publish that fails for a passing reason is
tried again, each time later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from watchfiles import awatch

from adapters.atomic import scratch, sweep_scratch
from adapters.config import AdaptersConfig
from adapters.errors import AdapterError, BadName, StoreError
from adapters.events import EventBus
from adapters.format.files import reason
from adapters.jobs.periodic import After, Every, PeriodicJobs
from adapters.publish.outcome import Outcome
from adapters.publish.rollout import Rollout
from adapters.registry import Registry, Sighting
from adapters.registry.lifecycle import State
from adapters.store.sources import Found, LocalSource, Source, open_source

_MOST_REMEMBERED = 100_000
"""Entries that were ever taken; beyond it the oldest of those that have left are forgotten."""
_AT_ONCE = 8
"""Aliases whose entries are taken at the same time."""
_SHORTEST_PAUSE_S = 0.05
_LONGEST_LOOK_S = 600.0
_WITHOUT_EVENTS_S = 300.0
"""Where file events cannot be had (too many watches, some network storage), until the next try."""
_log = logging.getLogger("graftwork.adapters")
_BY = "watch"


@dataclass
class _Stillness:
    fingerprint: str
    since: float


@dataclass
class _Retry:
    fingerprint: str
    at: float
    pause: float


class Watcher:
    """Looks at the store again and again.

    Args:
        scratch: where entries are copied to, best on the store's own disk.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        rollout: Rollout,
        registry: Registry,
        config: AdaptersConfig,
        events: EventBus,
        *,
        scratch: Path,
        source: Source | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rollout = rollout
        self._registry = registry
        self._settings = config.watch
        self._events = events
        self._clock = clock
        self._scratch = scratch
        self._left_out = 0
        self._source = source or _configured_source(config)
        self._still: dict[str, _Stillness] = {}
        self._retries: dict[str, _Retry] = {}
        self._taking: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._wake: Callable[[], None] = lambda: None

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Look again and again, and at once when a file changed. Nothing when not enabled."""
        if not self._settings.enabled:
            return
        sweep_scratch(self._scratch)
        every = Every(self._period, at_once=True, limit_s=_LONGEST_LOOK_S)
        self._wake = jobs.add("watch", self._look_again, every).wake
        if isinstance(self._source, LocalSource):
            listen = partial(self._listen, self._source.root)
            jobs.add("watch-events", listen, Every(self._period, at_once=True, limit_s=None))

    def wake(self) -> None:
        """Look now."""
        self._wake()

    async def _look_again(self) -> After:
        return After(max(await self.look(), _SHORTEST_PAUSE_S))

    async def look(self) -> float:
        """One look at the store; what is due is taken in the background, once a base is served.

        Returns the seconds after which something may become due. Raises ``StoreError``,
        ``RegistryError``.
        """
        if self._rollout.base_digest is None:
            # What lies there stays there: it need not wait in a second place.
            return self._period
        found = await asyncio.to_thread(self._source.scan)
        self._report_left_out()
        known = await asyncio.to_thread(self._registry.sightings)
        await self._forget_surplus(found, known)
        self._forget_all_but({each.source for each in found})
        due: dict[str, list[Found]] = defaultdict(list)
        pause = self._period
        for each in sorted(found, key=lambda each: each.newest):
            wait = self._due_in(each, known.get(each.source))
            if wait is not None and wait <= 0:
                due[each.alias].append(each)
            elif wait is not None:
                pause = min(pause, wait)
        for alias, entries in due.items():
            if alias not in self._taking:
                task = asyncio.create_task(self._take_in_order(entries))
                self._taking[alias] = task
                task.add_done_callback(partial(self._taken, alias))
        return pause

    def _report_left_out(self) -> None:
        if self._source.left_out != self._left_out:
            self._left_out = self._source.left_out
            self._events.emit(
                "watch-left-out",
                error=f"{self._left_out} entries are beyond watch.max_entries and not looked at",
            )

    async def _forget_surplus(self, found: list[Found], known: dict[str, Sighting]) -> None:
        """Law 9: what has left the store is not remembered for ever, only for long."""
        surplus = len(known) - _MOST_REMEMBERED
        if surplus > 0:
            present = {each.source for each in found}
            gone = [source for source in known if source not in present]
            await asyncio.to_thread(self._registry.forget_sightings, gone[:surplus])

    async def settled(self) -> None:
        """Wait until nothing is being taken."""
        while self._taking:
            await asyncio.wait(set(self._taking.values()))
            await asyncio.sleep(0)

    @property
    def _period(self) -> float:
        local = isinstance(self._source, LocalSource)
        return self._settings.poll_s if local else self._settings.object_poll_s

    def _due_in(self, found: Found, known: Sighting | None) -> float | None:
        """Seconds until the entry may be taken; None when it was taken as it is."""
        now = self._clock()
        if known is not None and self._is_judged(found, known):
            self._still.pop(found.source, None)
            return None
        retry = self._retries.get(found.source)
        if retry is not None and retry.fingerprint == found.fingerprint:
            return retry.at - now
        if found.complete or found.problem:
            return 0.0
        still = self._still.get(found.source)
        if still is None or still.fingerprint != found.fingerprint:
            still = self._still[found.source] = _Stillness(found.fingerprint, now)
        return still.since + self._settings.settle_s - now

    def _is_judged(self, found: Found, known: Sighting) -> bool:
        base = self._rollout.base_digest
        same_base = base is None or known.base in {"", base}
        return known.fingerprint == found.fingerprint and same_base

    async def _take_in_order(self, entries: list[Found]) -> None:
        # The newest last: when several wait, that one ends up live.
        async with self._slots:
            for found in entries:
                try:
                    await self._take(found)
                except (AdapterError, OSError) as error:
                    self._retry_later(found, reason(error))
                except Exception as error:  # noqa: BLE001 - the other entries are still to be taken
                    _log.exception("watch_failed", extra={"source": found.source})
                    self._retry_later(found, repr(error))

    async def _take(self, found: Found) -> None:
        try:
            await self._push(found)
        except BadName as error:
            await self._refuse(found, None, str(error))

    async def _push(self, found: Found) -> None:
        if found.problem:
            await self._refuse(found, None, found.problem)
            return
        with scratch(self._scratch) as directory:
            if not await asyncio.to_thread(self._source.fetch, found, directory):
                self._still[found.source] = _Stillness("", self._clock())
                return
            # Somebody who puts known bytes there says what should be live; an entry that is looked
            # at again, because it was touched or the base has changed, says nothing new.
            known = await asyncio.to_thread(self._registry.sighting, found.source)
            outcome = await self._rollout.push(
                found.alias,
                directory,
                wait=True,
                author=_BY,
                revive=False,
                restage=known is None,
            )
        if outcome.refused:
            await self._refuse(found, outcome, outcome.error)
        elif outcome.state is State.FAILED or not outcome.finished:
            self._retry_later(found, outcome.error or f"still {outcome.state}")
        else:
            await self._accept(found, outcome)

    async def _accept(self, found: Found, outcome: Outcome) -> None:
        result = "known" if outcome.known else "taken"
        await self._remember(found, outcome.digest, result)
        await asyncio.to_thread(self._source.unmark, found)
        self._events.emit(f"watch-{result}", found.alias, outcome.digest, source=found.source)

    async def _refuse(self, found: Found, outcome: Outcome | None, reason: str) -> None:
        digest = outcome.digest if outcome is not None and outcome.digest else None
        failed = [c for c in outcome.checks if not c["ok"]] if outcome is not None else []
        reasons = {
            "source": found.source,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "digest": digest,
            "error": reason,
            "checks": failed,
        }
        try:
            await asyncio.to_thread(self._source.mark, found, reasons)
        except StoreError as error:
            self._events.emit("watch-failed", found.alias, error=str(error))
        await self._remember(found, digest, "rejected", reason)
        # Many events are remembered, and lists of items may be long: they are in the marker.
        brief = [{key: c[key] for key in c if key != "items"} for c in failed]
        self._events.emit(
            "watch-rejected", found.alias, digest, source=found.source, error=reason, checks=brief
        )

    async def _remember(
        self, found: Found, digest: str | None, outcome: str, detail: str = ""
    ) -> None:
        base = self._rollout.base_digest or ""
        sighting = Sighting(found.source, found.fingerprint, digest, outcome, detail, base)
        await asyncio.to_thread(self._registry.remember, sighting)
        self._retries.pop(found.source, None)
        self._still.pop(found.source, None)

    def _retry_later(self, found: Found, reason: str) -> None:
        before = self._retries.get(found.source)
        pause = self._settings.retry_s
        if before is not None and before.fingerprint == found.fingerprint:
            pause = min(before.pause * 2, self._settings.max_retry_s)
        retry = _Retry(found.fingerprint, self._clock() + pause, pause)
        self._retries[found.source] = retry
        self._events.emit(
            "watch-retry", found.alias, source=found.source, error=reason, seconds=pause
        )

    def _taken(self, alias: str, _task: asyncio.Task[None]) -> None:
        del self._taking[alias]
        # Another entry of the alias may have come while this one was at work.
        self._wake()

    def _forget_all_but(self, present: set[str]) -> None:
        # Only what is in memory: what the registry knows of a vanished entry it must still know
        # when a network file system comes back.
        self._still = {key: v for key, v in self._still.items() if key in present}
        self._retries = {key: v for key, v in self._retries.items() if key in present}

    async def _listen(self, root: Path) -> After:
        """Wake at file events; where there are none, the period alone has to do."""
        try:
            await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
            async for _ in awatch(root, watch_filter=None, step=20, debounce=200):
                self._wake()
        except (OSError, RuntimeError) as error:
            self._events.emit("watch-polls", error=f"no file events: {reason(error)}")
        return After(_WITHOUT_EVENTS_S)

    async def aclose(self) -> None:
        """Stop what is being taken; it is found again at the next start."""
        tasks = list(self._taking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _configured_source(config: AdaptersConfig) -> Source:
    if config.store is None:
        raise StoreError("no watched store is configured", code="store-url")
    return open_source(
        config.store,
        max_files=config.preflight.max_files,
        max_bytes=config.preflight.max_total_bytes,
        max_entries=config.watch.max_entries,
    )
