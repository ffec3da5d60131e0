"""The resource ``feedback``: what a client says of an answer afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.resources import Resource, describes
from router.admit.admission import Admission
from router.audit import feedback
from router.audit.lookup import Records
from router.wire.asgi import Bodies


@dataclass(frozen=True)
class Judging:
    """What is needed to keep a judgement."""

    records: Records
    bodies: Bodies
    admission: Admission


@describes(body=feedback.Feedback)
async def judge(judging: Judging, request: Request) -> Response:
    """`{decision_id, kind: boolean|float|comment|demonstration, value}` about an answer."""
    judging.admission.count(request.scope["caller"])
    raw = await judging.bodies.read(request.scope, request.receive)
    given = feedback.parse(raw)
    await judging.records.add_feedback(given, request.scope["caller"])
    return JSONResponse({"object": "feedback", "decision_id": given.decision_id})


RESOURCES: tuple[Resource[Judging], ...] = (Resource("inference", "POST", "/v1/feedback", judge),)
