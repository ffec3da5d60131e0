"""The rules in the registry: what the admin plane works with, and the files that routers fetch."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from adapters.events import EventBus
from adapters.jobs.periodic import Every, PeriodicJobs
from adapters.registry.policies import Policies
from adapters.resources import Resource
from router.admin.policy import Move, PolicyAdmin
from router.newest import Heard
from router.wire.table import Bound, bound
from serving.internal.paths import POLICY
from serving.registry.fleet import ROUTERS_POLL_S, HttpFleet

_APPLIED_S = 1.5
"""How long a change waits for the routers; who is late gets the rules later."""
_LISTED = 100


class RulesOffice:
    """Hands the rules that hold to the routers.

    ``demand`` opens a review that rules want.

    Attributes:
        admin: what the admin plane's handlers work with.
    """

    def __init__(
        self,
        policies: Policies,
        fleet: HttpFleet,
        publish: Callable[[], None],
        events: EventBus,
        demand: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._policies = policies
        self._fleet = fleet
        self._publish = publish
        self._events = events
        self._demand = demand
        self._heard = Heard()
        self.admin = PolicyAdmin(policies, self._changed, self._differences)

    async def _changed(self, move: Move) -> bool:
        self._publish()
        state = "shadow" if move.action == "shadow" else "active"
        version = move.shadow if state == "shadow" else move.active
        self._events.emit(
            "policy", digest=version, id=version, state=state, action=move.action, by=move.actor
        )
        return await self._fleet.routers_hold(move.active or "", _APPLIED_S)

    def _differences(self) -> dict[str, Any]:
        """Of all live routers, about the rules that are in the shadow now."""
        said = [state for state in self._fleet.differences() if state]
        newest = max((str(each.get("since", "")) for each in said), default="")
        versions = {each.get("version") for each in said if str(each.get("since", "")) == newest}
        told = [each for each in said if each.get("version") in versions]
        kinds: Counter[str] = Counter()
        for each in told:
            kinds.update(each.get("differing") or {})
        rows = [row for each in told for row in each.get("newest") or ()]
        return {
            "version": next(iter(versions), None),
            "compared": sum(int(each.get("compared", 0)) for each in told),
            "differing": dict(kinds.most_common()),
            "newest": sorted(rows, key=lambda row: str(row.get("at")), reverse=True)[:_LISTED],
        }

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Open the reviews that rules want, soon after routers tell of them."""
        jobs.add("policy-reviews", self._open, Every(ROUTERS_POLL_S))

    async def _open(self) -> None:
        for router, review in self._heard.new(self._fleet.reviews()):
            await self._demand(review)
            self._heard.done(router, review)

    def routes(self) -> list[Bound]:
        """What routers ask of the registry's internal surface."""
        return bound((Resource("internal", "GET", POLICY, _file),), self._policies)


async def _file(policies: Policies, request: Request) -> Response:
    """A rules file as it was put."""
    record = await asyncio.to_thread(policies.record, request.path_params["version"])
    return Response((record.source or "").encode(), media_type="application/yaml")
