"""A router's internal surface: the registry hands it tables, peers ask for metrics and records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.admin.erasures import ErasureRequest
from adapters.aliases import RoutingTable
from adapters.records.erasable import Erasable, erase_all
from adapters.resources import Resource, body_of
from router.account.usage import Traffic
from router.audit.logs import DecisionLog, FeedbackLog
from router.audit.query import parse_query
from router.newest import Newest
from router.policy.source import PolicySource
from router.replicas.table import TableHolder
from router.wire.table import Bound, ResourceApp, bound
from serving.internal import paths
from serving.internal.reports import RouterState


@dataclass(frozen=True)
class Told:
    """What the registry is told of this router."""

    holder: TableHolder
    traffic: Traffic
    policies: PolicySource
    decided: Newest

    def state(self) -> RouterState:
        """All of it, as it is now."""
        table = self.holder.current
        return RouterState(
            revision=table.revision,
            epoch=table.epoch,
            in_flight=self.holder.in_flight(),
            traffic=self.traffic.snapshot(),
            policy=self.policies.version,
            policy_differences=self.policies.differences.shown(),
            reviews=self.policies.reviews.shown(),
            decisions=self.decided.shown(),
        )


class RouterSurface:
    """Routes below ``/internal`` and ``/metrics``."""

    def __init__(
        self,
        told: Told,
        decisions: DecisionLog,
        feedback: FeedbackLog,
        metrics: CollectorRegistry,
        more: Iterable[Bound],
        rooms: Sequence[Erasable],
    ) -> None:
        self._more = tuple(more)
        self._rooms = rooms
        self._told = told
        self._log = decisions
        self._said = feedback
        self._metrics_registry = metrics

    def asgi_app(self) -> Any:
        """The application, to be guarded by a secret."""
        return ResourceApp([*bound(_ROWS, self), *self._more])

    async def put_table(self, request: Request) -> JSONResponse:
        self._told.holder.apply(RoutingTable.model_validate_json(await request.body()))
        return await self.get_state(request)

    async def get_state(self, _: Request) -> JSONResponse:
        return JSONResponse(self._told.state().model_dump(mode="json"))

    async def decisions(self, request: Request) -> JSONResponse:
        return JSONResponse(await self._log.newest(parse_query(request.url.query)))

    async def decision(self, request: Request) -> JSONResponse:
        record = await self._log.find(request.path_params["id"])
        return JSONResponse(record, status_code=200 if record else 404)

    async def feedback(self, request: Request) -> JSONResponse:
        return JSONResponse(await self._said.about(request.path_params["id"]))

    async def judgements(self, request: Request) -> JSONResponse:
        wanted = parse_query(request.url.query)
        return JSONResponse(await self._said.newest(wanted.limit, wanted.since_s))

    async def erase(self, request: Request) -> JSONResponse:
        asked = await body_of(request, ErasureRequest)
        return JSONResponse(await erase_all(self._rooms, asked.subject))

    async def metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._metrics_registry), media_type="text/plain")


_ROWS: tuple[Resource[RouterSurface], ...] = (
    Resource("internal", "PUT", paths.TABLE, RouterSurface.put_table),
    Resource("internal", "GET", paths.STATE, RouterSurface.get_state),
    Resource("internal", "GET", paths.DECISIONS, RouterSurface.decisions),
    Resource("internal", "GET", paths.DECISION, RouterSurface.decision),
    Resource("internal", "GET", paths.FEEDBACK, RouterSurface.judgements),
    Resource("internal", "GET", paths.FEEDBACK_OF, RouterSurface.feedback),
    Resource("internal", "POST", paths.ERASURES, RouterSurface.erase),
    Resource("internal", "GET", paths.METRICS, RouterSurface.metrics),
)
