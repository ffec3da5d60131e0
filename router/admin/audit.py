"""The resource ``audit``: the log's records, its signed checkpoints, and proofs for auditors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, model_validator
from starlette.requests import Request
from starlette.responses import Response

from adapters.records import checkpoints
from adapters.records.auditing import KINDS, Audit, NoProof
from adapters.records.line import Kind
from adapters.records.problems import Unreadable
from adapters.records.reader import Where
from adapters.records.signing import BadKey
from adapters.records.tree import Incomplete
from adapters.resources import BadField, Resource, body_of, cursor_of, describes, moment, page_of
from router.errors import AuditUnavailable

_PATH = "/admin/v1/audit"
_MAX_DIGITS = 15
T = TypeVar("T")


class VerifyRequest(BaseModel):
    """What somebody kept elsewhere: exactly one of the two."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one(self) -> VerifyRequest:
        if (self.checkpoint is None) == (self.certificate is None):
            raise ValueError("give either 'checkpoint' or 'certificate'")
        return self


@describes(
    query={
        "since": "not before: ISO 8601, or seconds since the epoch",
        "subject": "about this person, by the name that clients gave",
        "kind": f"one of {', '.join(KINDS)}",
    }
)
async def records(audit: Audit, request: Request) -> Response:
    """Records, the oldest first."""
    page, query = page_of(request.query_params), request.query_params
    _only(request, "since", "subject", "kind", "limit", "cursor")
    found = await _thread(
        lambda: audit.records(
            _kinds(query.get("kind")),
            query.get("subject"),
            moment(query["since"]) if "since" in query else 0.0,
            _place(page.after) if page.after else None,
            page.limit + 1,
        )
    )
    shown = found[: page.limit]
    goes_on = len(found) > len(shown)
    return _json(
        {
            "object": "list",
            "data": [record for _, record in shown],
            "next": cursor_of(_marked(shown[-1][0])) if goes_on else None,
        }
    )


async def verification(audit: Audit, _: Request) -> Response:
    """Recompute every hash and signature; on a large log this takes minutes."""
    return _json((await _thread(audit.verify)).as_dict())


@describes(body=VerifyRequest)
async def verify_kept(audit: Audit, request: Request) -> Response:
    """Verify the log against a checkpoint, or an erasure's certificate, that was kept elsewhere."""
    body = await body_of(request, VerifyRequest)
    if body.certificate is not None:
        certificate = body.certificate
        problems = await _thread(lambda: audit.check_certificate(certificate))
        return _json({"ok": not problems, "problems": [asdict(each) for each in problems]})
    checkpoint = checkpoints.parse(body.checkpoint)
    if checkpoint is None:
        raise BadField("'checkpoint' must be one that GET …/checkpoint answered.", "checkpoint")
    return _json((await _thread(lambda: audit.verify(checkpoint))).as_dict())


async def checkpoint(audit: Audit, _: Request) -> Response:
    """A signed checkpoint over all that is on record now."""
    return _json(dict((await _thread(audit.checkpoint)).document))


async def keys(audit: Audit, _: Request) -> Response:
    """The public keys that checkpoints and certificates are signed with."""
    return _json({"object": "list", "data": await _thread(audit.keys), "next": None})


@describes(query={"writer": "whose record; may be left out where only one has this sequence"})
async def proof(audit: Audit, request: Request) -> Response:
    """That a record is under the newest checkpoint's root (RFC 6962)."""
    sequence = _number(request.path_params["sequence"], "sequence")
    writer = request.query_params.get("writer")
    return _json(asdict(await _thread(lambda: audit.proof(sequence, writer))))


@describes(query={"from": "the smaller size", "to": "the larger one; default: the newest"})
async def consistency(audit: Audit, request: Request) -> Response:
    """That the tree of one size goes on in that of another (RFC 6962)."""
    query = request.query_params
    if "from" not in query:
        raise BadField("'from' is the size of the tree that you know.", "from")
    first = _number(query["from"], "from")
    second = _number(query["to"], "to") if "to" in query else None
    return _json(await _thread(lambda: audit.consistency(first, second)))


RESOURCES: tuple[Resource[Audit], ...] = (
    Resource("auditor", "GET", _PATH, records),
    Resource("auditor", "GET", f"{_PATH}/verify", verification),
    Resource("auditor", "POST", f"{_PATH}/verify", verify_kept),
    Resource("auditor", "GET", f"{_PATH}/checkpoint", checkpoint),
    Resource("auditor", "GET", f"{_PATH}/keys", keys),
    Resource("auditor", "GET", f"{_PATH}/consistency", consistency),
    Resource("auditor", "GET", f"{_PATH}/{{sequence}}/proof", proof),
)


async def _thread(work: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(work)
    except NoProof as error:
        raise BadField(f"{error}.", None, code="not_found", status=404) from error
    except (OSError, BadKey, Incomplete, Unreadable) as error:
        raise AuditUnavailable(f"The log cannot be read: {error}.", retry_after_s=5.0) from error


def _only(request: Request, *known: str) -> None:
    if unknown := sorted(request.query_params.keys() - set(known)):
        raise BadField(f"Unknown parameters {unknown}; known: {sorted(known)}.", unknown[0])


def _kinds(name: str | None) -> tuple[Kind, ...]:
    if name is None:
        return KINDS
    if name not in KINDS:
        raise BadField(f"'kind' must be one of {', '.join(KINDS)}.", "kind")
    return (Kind(name),)


def _number(text: str, param: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise BadField(f"{param!r} must be a number, not negative.", param)
    return int(text)


def _marked(where: Where) -> str:
    return f"{where.at!r},{where.writer},{where.segment},{where.line}"


def _place(text: str) -> Where:
    try:
        at, writer, segment, line = text.split(",")
        return Where(float(at), writer, int(segment), int(line))
    except ValueError as error:
        raise BadField("'cursor' must be the 'next' of an earlier answer.", "cursor") from error


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
