"""The resource ``gate`` of a version: what was found, as JSON or as a page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from adapters.admin.parts import choice
from adapters.errors import RegistryError
from adapters.gate.page import page
from adapters.gate.reports import Reports
from adapters.records.line import with_iso
from adapters.registry import Registry
from adapters.resources import Resource, describes

_PATH: Final = "/admin/v1/adapters/{alias}/versions/{digest}/gate"
_HTML: Final = "text/html"


class NoReport(RegistryError):
    """The version was not judged, or not yet."""

    code = "no-gate-report"


@dataclass(frozen=True)
class Gates:
    """What the resource needs."""

    reports: Reports
    registry: Registry


@describes(
    query={"format": "`json` or `html`; default: as `Accept` says"},
    answers={200: "application/json", 404: "No such version, or it was not judged (yet)."},
)
async def report(gates: Gates, request: Request) -> Response:
    """What the gate found about a version: the newest report."""
    wanted = choice(request.query_params, "format", ("json", "html"))
    alias, reference = request.path_params["alias"], request.path_params["digest"]

    def read() -> dict[str, Any]:
        version = gates.registry.version(alias, reference)
        found = gates.reports.newest(version.alias, version.digest)
        if found is None:
            raise NoReport(f"no gate has judged {version.name} yet: it is {version.state}")
        return {**found, "state": version.state.value}

    found = await asyncio.to_thread(read)
    if wanted == "html" or (wanted is None and _prefers_html(request.headers.get("accept", ""))):
        return HTMLResponse(
            await asyncio.to_thread(page, found),
            headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"},
        )
    return JSONResponse(with_iso(found, "at"))


RESOURCES: tuple[Resource[Gates], ...] = (Resource("admin", "GET", _PATH, report),)


def _prefers_html(accept: str) -> bool:
    """Whether HTML is named, and JSON not before it."""
    kinds = [each.partition(";")[0].strip() for each in accept.lower().split(",")]
    if _HTML not in kinds:
        return False
    return "application/json" not in kinds[: kinds.index(_HTML)]
