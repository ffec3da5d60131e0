"""The resource ``policy``: rules files are put, tried in the shadow, asked, promoted, rolled back.

The registry answers it: which rules hold is kept there.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from adapters.resources import (
    BadField,
    Resource,
    body_of,
    describes,
    listed,
    page_of,
    refuse_unknown,
)
from router.errors import Refused
from router.policy.book import NO_RULES, Rules
from router.policy.document import MAX_BYTES, PolicyInvalid
from router.policy.load import evaluate, load, situation_of, version_of
from router.policy.situation import given_target

_ACTOR = "x-graftwork-actor"
_MAX_ACTOR = 200
_JSON = "application/json"
_COMPILED_KEPT: Final = 4
_MAX_DIFF_LINES: Final = 20_000


class Move(Protocol):
    """One change of what holds."""

    @property
    def id(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def actor(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def active(self) -> str | None: ...
    @property
    def shadow(self) -> str | None: ...


class File(Protocol):
    """One rules file as it is kept."""

    @property
    def version(self) -> str: ...
    @property
    def source(self) -> str | None: ...
    @property
    def author(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...


class PolicyFiles(Protocol):
    """Where rules files are kept. Methods block."""

    def put(self, version: str, source: str, *, by: str, shadow: bool = False) -> Move: ...
    def promote(self, *, by: str) -> Move: ...
    def rollback(self, *, by: str) -> Move: ...
    def record(self, version: str) -> File: ...
    def now(self) -> Move | None: ...
    def history(self, limit: int = 200) -> Sequence[Move]: ...


class PolicyAdmin:
    """What the handlers work with.

    Args:
        files: where the files are.
        changed: tells the routers; whether all of them hold the change already.
        differences: what the shadow would have decided otherwise, as the routers counted it.
    """

    def __init__(
        self,
        files: PolicyFiles,
        changed: Callable[[Move], Awaitable[bool]],
        differences: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.files = files
        self.changed = changed
        self.differences = differences
        self._compiled: dict[str, Rules] = {}

    async def compiled(self, source: bytes) -> Rules:
        """The rules of a file. Raises ``Refused`` with every error's rule and line."""
        version = version_of(source)
        known = self._compiled.get(version)
        if known is not None:
            return known
        try:
            rules = await asyncio.to_thread(load, source)
        except PolicyInvalid as error:
            raise Refused(
                422,
                f"The rules cannot be used: {error}",
                code="invalid_policy",
                more={"errors": [each.shown() for each in error.problems]},
            ) from error
        while len(self._compiled) >= _COMPILED_KEPT:
            del self._compiled[next(iter(self._compiled))]
        self._compiled[version] = rules
        return rules

    async def file(self, version: str | None) -> File | None:
        """A kept file; None of none."""
        return await asyncio.to_thread(self.files.record, version) if version else None


@describes(
    query={"stage": "`live` (default), or `shadow`: evaluated, never enforced"},
    content={"application/yaml": {"schema": {"type": "string"}}},
)
async def put(admin: PolicyAdmin, request: Request) -> Response:
    """Have this rules file (YAML) hold from now on, or be tried in the shadow."""
    refuse_unknown(request.query_params, put)
    stage = request.query_params.get("stage", "live")
    if stage not in ("live", "shadow"):
        raise BadField("'stage' must be live or shadow.", "stage")
    source = await _body(request)
    rules = await admin.compiled(source)
    move = await asyncio.to_thread(
        admin.files.put,
        rules.version,
        source.decode(),
        by=_actor(request),
        shadow=stage == "shadow",
    )
    return await _moved(admin, request, move, rules)


async def promote(admin: PolicyAdmin, request: Request) -> Response:
    """Have the rules in the shadow hold."""
    refuse_unknown(request.query_params, promote)
    move = await asyncio.to_thread(admin.files.promote, by=_actor(request))
    return await _moved(admin, request, move)


async def rollback(admin: PolicyAdmin, request: Request) -> Response:
    """Have those rules hold that held before."""
    refuse_unknown(request.query_params, rollback)
    move = await asyncio.to_thread(admin.files.rollback, by=_actor(request))
    return await _moved(admin, request, move)


async def show(admin: PolicyAdmin, _: Request) -> Response:
    """Which rules hold, their text, and what is in the shadow."""
    move = await asyncio.to_thread(admin.files.now)
    active = await admin.file(None if move is None else move.active)
    shadow = await admin.file(None if move is None else move.shadow)
    rules = await _rules(admin, active)
    return _json(
        {
            "active": _file(active),
            "shadow": _file(shadow),
            "warnings": [each.shown() for each in rules.warnings],
        }
    )


async def history(admin: PolicyAdmin, request: Request) -> Response:
    """What held when, and who decided it; the newest first."""
    page = page_of(request.query_params)
    moves = await asyncio.to_thread(admin.files.history, 10_000)
    return _json(listed(page, moves, lambda each: f"{10**9 - each.id:010d}", _move))


async def version(admin: PolicyAdmin, request: Request) -> Response:
    """One rules file, by its version."""
    return _json(_file(await admin.file(request.path_params["version"])))


@describes(query={"from": "a version; default: what holds", "to": "a version; default: the shadow"})
async def diff(admin: PolicyAdmin, request: Request) -> Response:
    """What differs between two rules files, line by line."""
    move = await asyncio.to_thread(admin.files.now)
    active, shadow = (None, None) if move is None else (move.active, move.shadow)
    query = request.query_params
    one = await admin.file(query.get("from", active))
    two = await admin.file(query.get("to", shadow))
    return _json({"from": _named(one), "to": _named(two), "diff": await _diff(one, two)})


async def differences(admin: PolicyAdmin, _: Request) -> Response:
    """What the rules in the shadow would have decided otherwise, counted over all routers."""
    return _json(admin.differences())


class Question(BaseModel):
    """A request to hold against the rules, and perhaps an answer to it."""

    model_config = ConfigDict(extra="forbid")

    caller: str | None = None
    tenant: str | None = None
    intent: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict)
    claims: dict[str, Any] = Field(default_factory=dict)
    entities: list[str] = Field(default_factory=list)
    collections: list[str] = Field(default_factory=list)
    subject: str | None = None
    time: datetime | None = None
    request: dict[str, Any] = Field(default_factory=dict)
    target: dict[str, Any] | None = None
    """A target that might answer: rules about targets are asked as well."""
    answer: str | None = None
    stage: Literal["active", "shadow"] = "active"


@describes(body=Question)
async def asked(admin: PolicyAdmin, request: Request) -> Response:
    """What the rules say about a request, and about an answer to it. Decides nothing."""
    question = await body_of(request, Question)
    move = await asyncio.to_thread(admin.files.now)
    wanted = None if move is None else move.active if question.stage == "active" else move.shadow
    rules = await _rules(admin, await admin.file(wanted))
    given = question.model_dump(exclude={"answer", "stage", "target"}, exclude_none=True)
    target = None if question.target is None else given_target(question.target)
    answer = await asyncio.to_thread(
        evaluate, rules, situation_of(given), question.answer, target=target
    )
    return _json({"version": rules.version, **answer.shown()})


async def _rules(admin: PolicyAdmin, file: File | None) -> Rules:
    if file is None or file.source is None:
        return NO_RULES
    return await admin.compiled(file.source.encode())


async def _moved(
    admin: PolicyAdmin, request: Request, move: Move, rules: Rules | None = None
) -> Response:
    if rules is None:
        rules = await _rules(admin, await admin.file(move.active))
    noted = request.scope.get("recorded")
    if isinstance(noted, dict):  # for the log of admin actions
        noted |= {"active": move.active, "shadow": move.shadow}
    applied = await admin.changed(move)
    return _json(
        {
            "version": rules.version,
            "action": move.action,
            "active": move.active,
            "shadow": move.shadow,
            "applied": applied,
            "warnings": [each.shown() for each in rules.warnings],
        }
    )


async def _body(request: Request) -> bytes:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BYTES:
            raise BadField(
                f"The rules are larger than {MAX_BYTES} bytes.",
                None,
                code="request_too_large",
                status=413,
            )
    return bytes(raw)


async def _diff(one: File | None, two: File | None) -> str:
    before, after = (_lines(each) for each in (one, two))
    if len(before) + len(after) > _MAX_DIFF_LINES:
        return "The files are too long to be compared here.\n"
    names = (_named(one) or "nothing", _named(two) or "nothing")
    lines = await asyncio.to_thread(
        lambda: list(difflib.unified_diff(before, after, fromfile=names[0], tofile=names[1]))
    )
    return "".join(lines)


def _lines(file: File | None) -> list[str]:
    return [] if file is None else (file.source or "").splitlines(keepends=True)


def _file(file: File | None) -> dict[str, Any] | None:
    if file is None:
        return None
    return {
        "version": file.version,
        "source": file.source,
        "author": file.author,
        "created_at": file.created_at.isoformat(),
    }


def _named(file: File | None) -> str | None:
    return None if file is None else file.version


def _move(move: Move) -> dict[str, Any]:
    return {
        "at": move.at.isoformat(),
        "actor": move.actor,
        "action": move.action,
        "active": move.active,
        "shadow": move.shadow,
    }


def _actor(request: Request) -> str:
    return request.headers.get(_ACTOR, "admin")[:_MAX_ACTOR]


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type=_JSON)


RESOURCES: tuple[Resource[PolicyAdmin], ...] = (
    Resource("admin", "PUT", "/admin/v1/policy", put),
    Resource("admin", "GET", "/admin/v1/policy", show),
    Resource("admin", "POST", "/admin/v1/policy/promote", promote),
    Resource("admin", "POST", "/admin/v1/policy/rollback", rollback),
    Resource("admin", "POST", "/admin/v1/policy/evaluate", asked),
    Resource("admin", "GET", "/admin/v1/policy/history", history),
    Resource("admin", "GET", "/admin/v1/policy/diff", diff),
    Resource("admin", "GET", "/admin/v1/policy/shadow", differences),
    Resource("admin", "GET", "/admin/v1/policy/versions/{version}", version),
)
