"""The resource ``audit``: the log's records, its signed checkpoints, and proofs for auditors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, model_validator
from starlette.requests import Request
from starlette.responses import Response

from adapters.records import checkpoints
from adapters.records.auditing import KINDS, Audit, NoProof
from adapters.records.line import Kind, Record, seconds
from adapters.records.problems import Unreadable
from adapters.records.reader import RecordCursor
from adapters.records.signing import BadKey
from adapters.records.tree import Incomplete
from adapters.resources import (
    BadField,
    Resource,
    body_of,
    cursor_of,
    describes,
    listed,
    moment,
    page_of,
)
from router.errors import AuditUnavailable

_PATH = "/admin/v1/audit"
_MAX_DIGITS = 15
T = TypeVar("T")
Page = dict[str, Any]
"""One page of a list, as JSON."""


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


class AuditPeers(Protocol):
    """The logs of other machines, as far as these answer; what shares a disk tells the same."""

    async def pages(self, query: str) -> tuple[list[Page], list[str]]:
        """Their pages for the same question, and who did not answer."""
        ...

    async def verdicts(self, known: str) -> tuple[list[dict[str, Any]], list[str]]:
        """What verifying them finds, each with the log's ``name``, and who did not answer.

        ``known``: the name of a log that is verified already.
        """
        ...

    async def proof(self, sequence: int, writer: str) -> dict[str, Any] | None:
        """Of a record of theirs."""
        ...


@dataclass(frozen=True)
class Auditing:
    """What the resource needs: this machine's log, and those of the others."""

    audit: Audit
    elsewhere: AuditPeers


@describes(
    query={
        "since": "not before: ISO 8601, or seconds since the epoch",
        "subject": "about this person, by the name that clients gave",
        "kind": f"one of {', '.join(KINDS)}",
    }
)
async def records(auditing: Auditing, request: Request) -> Response:
    """Records of all machines, the oldest first; ``missing`` names who did not answer."""
    own = await page_of_records(auditing.audit, request)
    others, missing = await auditing.elsewhere.pages(request.url.query)
    pages = [own, *others]
    found = {_key(each): each for page in pages for each in page["data"]}
    limit = page_of(request.query_params).limit
    rows = [found[key] for key in sorted(found)]
    goes_on = len(rows) > limit or any(page["next"] for page in pages)
    answer = _page(rows[:limit], goes_on=goes_on)
    return _json({**answer, "missing": missing} if missing else answer)


async def page_of_records(audit: Audit, request: Request) -> Page:
    """One machine's answer. Raises ``BadField``."""
    page, query = page_of(request.query_params), request.query_params
    _only(request, "since", "subject", "kind", "limit", "cursor")
    found = await in_thread(
        lambda: audit.records(
            _kinds(query.get("kind")),
            query.get("subject"),
            moment(query["since"]) if "since" in query else 0.0,
            _after(page.after) if page.after else None,
            page.limit + 1,
        )
    )
    return _page(found[: page.limit], goes_on=len(found) > page.limit)


async def verification(auditing: Auditing, _: Request) -> Response:
    """Recompute every hash and signature on all machines; on large logs this takes minutes."""
    own = (await in_thread(auditing.audit.verify)).as_dict()
    others, missing = await auditing.elsewhere.verdicts(auditing.audit.name)
    seen = {auditing.audit.name: own}
    for each in others:
        seen.setdefault(each.pop("name"), each)
    answer = {**own, "ok": not missing and all(each["ok"] for each in seen.values())}
    for count in ("records", "checkpoints", "erased"):
        answer[count] = sum(each[count] for each in seen.values())
    answer["problems"] = [problem for each in seen.values() for problem in each["problems"]]
    return _json({**answer, "missing": missing} if missing else answer)


@describes(body=VerifyRequest)
async def verify_kept(auditing: Auditing, request: Request) -> Response:
    """Verify the log against a checkpoint, or an erasure's certificate, that was kept elsewhere."""
    audit = auditing.audit
    body = await body_of(request, VerifyRequest)
    if body.certificate is not None:
        certificate = body.certificate
        problems = await in_thread(lambda: audit.check_certificate(certificate))
        return _json({"ok": not problems, "problems": [asdict(each) for each in problems]})
    checkpoint = checkpoints.parse(body.checkpoint)
    if checkpoint is None:
        raise BadField("'checkpoint' must be one that GET …/checkpoint answered.", "checkpoint")
    return _json((await in_thread(lambda: audit.verify(checkpoint))).as_dict())


async def checkpoint(auditing: Auditing, _: Request) -> Response:
    """A signed checkpoint over all that is on record now."""
    return _json(dict((await in_thread(auditing.audit.checkpoint)).document))


async def keys(auditing: Auditing, request: Request) -> Response:
    """The public keys that checkpoints and certificates are signed with, the oldest first."""
    page = page_of(request.query_params)
    known = enumerate(await in_thread(auditing.audit.keys))
    return _json(listed(page, known, lambda each: f"{each[0]:08d}", lambda each: each[1]))


@describes(query={"writer": "whose record; may be left out where only one has this sequence"})
async def proof(auditing: Auditing, request: Request) -> Response:
    """That a record is under the newest checkpoint's root (RFC 6962)."""
    sequence = _number(request.path_params["sequence"], "sequence")
    writer = request.query_params.get("writer")
    try:
        return _json(await proof_of(auditing.audit, sequence, writer))
    except BadField:
        found = None if writer is None else await auditing.elsewhere.proof(sequence, writer)
        if found is None:
            raise
        return _json(found)


async def proof_of(audit: Audit, sequence: int, writer: str | None) -> dict[str, Any]:
    """One machine's answer. Raises ``BadField`` where there is no such record."""
    return asdict(await in_thread(lambda: audit.proof(sequence, writer)))


@describes(query={"from": "the smaller size", "to": "the larger one; default: the newest"})
async def consistency(auditing: Auditing, request: Request) -> Response:
    """That the tree of one size goes on in that of another (RFC 6962)."""
    audit = auditing.audit
    query = request.query_params
    if "from" not in query:
        raise BadField("'from' is the size of the tree that you know.", "from")
    first = _number(query["from"], "from")
    second = _number(query["to"], "to") if "to" in query else None
    return _json(await in_thread(lambda: audit.consistency(first, second)))


RESOURCES: tuple[Resource[Auditing], ...] = (
    Resource("auditor", "GET", _PATH, records),
    Resource("auditor", "GET", f"{_PATH}/verify", verification),
    Resource("auditor", "POST", f"{_PATH}/verify", verify_kept),
    Resource("auditor", "GET", f"{_PATH}/checkpoint", checkpoint),
    Resource("auditor", "GET", f"{_PATH}/keys", keys),
    Resource("auditor", "GET", f"{_PATH}/consistency", consistency),
    Resource("auditor", "GET", f"{_PATH}/{{sequence}}/proof", proof),
)


async def in_thread(work: Callable[[], T]) -> T:
    """Ask a log. Raises what the door answers."""
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


def _page(rows: list[Record], *, goes_on: bool) -> Page:
    last = _key(rows[-1]) if rows and goes_on else None
    return {
        "object": "list",
        "data": rows,
        "next": None if last is None else cursor_of(f"{last.at!r},{last.writer},{last.sequence}"),
    }


def _key(record: Record) -> RecordCursor:
    return RecordCursor(seconds(record["time"]), record["writer"], record["sequence"])


def _after(text: str) -> RecordCursor:
    try:
        at, writer, sequence = text.split(",")
        return RecordCursor(float(at), writer, int(sequence))
    except ValueError as error:
        raise BadField("'cursor' must be the 'next' of an earlier answer.", "cursor") from error


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
