"""The rules in use: another version is fetched and compiled beside the event loop, then swapped.

A request asks once and keeps what it got, so it has one version from first to last. Until rules
that hold are here, nothing is answered: it might be what they forbid.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from adapters.aliases import PolicyVersions, RoutingTable
from router.errors import Overloaded
from router.policy.book import NO_RULES, Rules
from router.policy.differences import Differences
from router.policy.document import PolicyInvalid
from router.policy.load import accepted, version_of
from router.policy.reviews import WantedReviews

RETRY_AFTER_S: Final = 1.0
_log = logging.getLogger("graftwork.router")

Fetch = Callable[[str], Awaitable[bytes]]
"""The file of a version. May raise anything; it is tried again."""


class PolicyUnavailable(Overloaded):
    """Which rules hold is known, and they are not here yet; or it is not known."""

    code = "policy_unavailable"


@dataclass(frozen=True, slots=True)
class InUse:
    """What a request is held against."""

    active: Rules = NO_RULES
    shadow: Rules | None = None
    """Evaluated, never enforced."""


class PolicySource:
    """Keeps the rules that the routing table names.

    Args:
        fetch: gets a file. Without one there are no rules but those of the configuration.
        wake: has ``refresh`` run soon.
    """

    def __init__(self, fetch: Fetch | None = None, wake: Callable[[], None] = lambda: None) -> None:
        self._fetch = fetch
        self.wake = wake
        self._wanted = PolicyVersions()
        self._ready = fetch is None
        self._known = asyncio.Event()
        self._current = InUse()
        self.differences = Differences()
        self.reviews = WantedReviews()
        self.refused = 0
        """Files that could not be used since the start."""

    @property
    def version(self) -> str:
        """Of the rules in use; empty without any."""
        return self._current.active.version

    @property
    def rules(self) -> int:
        """How many are in use."""
        return len(self._current.active.file.rules)

    @property
    def reads_intents(self) -> bool:
        """Whether some rule is about intents."""
        return self.reads("intent")

    def reads(self, variable: str) -> bool:
        """Whether some rule, also one in the shadow, reads a variable."""
        current = self._current
        shadow = current.shadow
        return variable in current.active.reads or (shadow is not None and variable in shadow.reads)

    def current(self) -> InUse:
        """What a request that begins now is held against. Raises ``PolicyUnavailable``."""
        if not self._ready:
            raise PolicyUnavailable(
                "The rules that hold are not known to this router yet.",
                retry_after_s=RETRY_AFTER_S,
            )
        return self._current

    async def settle(self, timeout_s: float) -> bool:
        """Wait until it is known which rules hold, and they are here; False when that takes long.

        To be waited for before a router takes requests: it could only refuse them.
        """
        if not self._ready:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._known.wait(), timeout_s)
        return self._ready

    def heard(self, table: RoutingTable) -> None:
        """Take what a routing table says of rules; another version is fetched soon."""
        if self._fetch is None or table.revision == 0:
            return
        self._wanted = table.policy
        if not table.policy.active and not table.policy.shadow:
            self._use(InUse())
        elif not self._is_current():
            self.wake()

    def _use(self, rules: InUse) -> None:
        self._current, self._ready = rules, True
        self._known.set()

    def _is_current(self) -> bool:
        current, wanted = self._current, self._wanted
        shadow = "" if current.shadow is None else current.shadow.version
        return self._ready and (current.active.version, shadow) == (wanted.active, wanted.shadow)

    async def refresh(self) -> None:
        """Fetch and compile what is wanted. Raises what fetching raises, to be tried again."""
        while not self._is_current():
            wanted = self._wanted
            active = await self._rules(wanted.active)
            if active is None:
                return
            try:
                shadow = await self._rules(wanted.shadow) if wanted.shadow else None
            except Exception as error:  # noqa: BLE001 - what is only tried must stop nothing
                _log.warning("shadow_policy_not_fetched", exc_info=error)
                shadow = None
            if wanted is not self._wanted:
                continue
            self._use(InUse(active, shadow))
            _log.info("policy_in_use", extra={"version": active.version})
            if shadow is None:
                return

    async def _rules(self, version: str) -> Rules | None:
        """Rules of a version; None when this router cannot use them: the ones before stay."""
        assert self._fetch is not None
        current = self._current
        for known in (NO_RULES, current.active, current.shadow):
            if known is not None and known.version == version:
                return known
        source = await self._fetch(version)
        if version_of(source) != version:
            raise ValueError(f"what came is not the policy {version[:12]}")
        try:
            return await asyncio.to_thread(accepted, source)
        except PolicyInvalid as error:
            self.refused += 1
            _log.error("policy_refused", extra={"version": version, "error": str(error)})
            return None
