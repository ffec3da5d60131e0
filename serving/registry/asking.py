"""How the gate asks (``adapters.gate.asking``): engines one by one, others through a router."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from adapters.aliases import Peer
from adapters.errors import FleetError, NotAsked, ReplicaGone, Unreachable
from adapters.gate.asking import Answer, Messages, Tools
from router.errors import GuardUnavailable, RouterError
from router.wire.said import answer_text
from serving.internal import paths
from serving.internal.client import Answer as Reply
from serving.internal.client import InternalClient, Silence, Unanswered
from serving.registry.membership import Membership
from serving.registry.redacting import Redaction
from serving.router.asked import TENANT_HEADER

_ANSWER_S: Final = 300.0
_TRIES: Final = 6
_ROUTERS_S: Final = 120.0
_LOOK_S: Final = 0.2
_LONGEST_WAIT_S: Final = 30.0
_LOOKED_AT: Final = 15_000
"""Characters of an answer."""
_NOT_THERE: Final = frozenset({401, 404, 405, 410})
"""Whoever is gone, renamed or has no valid key has refused no question: he was not asked any."""
_PATIENCE_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before a guard is asked again: one moment that it is down costs no test of an hour."""
_CHAT: Final = "/v1/chat/completions"
_NOT_ANYBODYS: Final = {"x-graftwork-no-capture": "true", "x-graftwork-context": "none"}
"""Nothing is learned from these requests, and nothing is added to them."""


class HttpAsking:
    """Asks live engines and routers over their internal surfaces."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._client = InternalClient()

    async def on_replica(
        self,
        replica: str,
        name: str | None,
        messages: Messages,
        max_tokens: int,
        tools: Tools = (),
    ) -> Answer | None:
        """What one engine says. None when it refuses the request. Raises ``FleetError``."""
        report = self._membership.engine(replica)
        if report is None:
            raise ReplicaGone(f"{replica} left while it answered for the gate")
        body = _body(name or report.base.base_id, messages, max_tokens, tools)
        began = time.monotonic()
        try:
            reply = await self._client.ask(report.peer, "POST", _CHAT, body, timeout_s=_ANSWER_S)
        except Unanswered as error:
            kind = Unreachable if error.silence is Silence.UNREACHABLE else FleetError
            raise kind(str(error)) from error
        if reply.status == 404 or reply.status >= 500:
            raise FleetError(f"{replica} answered {reply.status} to a question of the gate")
        return _answer(reply, time.monotonic() - began) if reply.status == 200 else None

    async def target(
        self,
        target: str,
        messages: Messages,
        tenant: str,
        max_tokens: int,
        tools: Tools = (),
    ) -> Answer | None:
        """What a target says to a request of this tenant. Raises ``NotAsked``."""
        began = time.monotonic()
        body = _body(_model(target), messages, max_tokens, tools)
        reply = await self._through_router(paths.ASK, body, tenant)
        if reply.status in _NOT_THERE:
            raise NotAsked(f"{target} cannot be asked: {reply.status}: {_message(reply)}")
        return _answer(reply, time.monotonic() - began) if reply.status == 200 else None

    async def chosen(self, messages: Messages, tenant: str, tools: Tools = ()) -> str:
        """Which target would answer now. Raises ``NotAsked``."""
        reply = await self._through_router(
            paths.WHO_ANSWERS, _body("auto", messages, None, tools), tenant
        )
        said = reply.json()
        target = said.get("target") if isinstance(said, dict) else None
        if reply.status != 200 or not isinstance(target, str):
            raise NotAsked(f"no router says who answers now: status {reply.status}")
        return target

    async def problems(self, answer: str, tenant: str, intent: str) -> frozenset[str]:
        """What a router's rules and safety checks find in an answer. Raises ``NotAsked``."""
        body = {"answer": answer[:_LOOKED_AT], "tenant": tenant, "intent": intent}
        reply = await self._through_router(paths.LOOK_AT, body, tenant)
        said = reply.json()
        if reply.status != 200 or not isinstance(said, dict):
            raise NotAsked(f"no router looks at answers: status {reply.status}")
        return frozenset(said["problems"])

    async def _through_router(self, path: str, body: dict[str, Any], tenant: str) -> Reply:
        """Of one router, again when it, or the target, has no room for now."""
        raw, headers = orjson.dumps(body), {**_NOT_ANYBODYS, TENANT_HEADER: tenant}
        await self._somebody()
        wait_s, problem = 0.5, "no router is alive"
        for _ in range(_TRIES):
            for router in self._routers():
                try:
                    reply = await self._client.ask(
                        router, "POST", path, raw, timeout_s=_ANSWER_S, headers=headers
                    )
                except Unanswered as error:
                    problem = str(error)
                    continue
                if reply.status != 429 and reply.status < 500:
                    return reply
                problem = f"{router.id} answered {reply.status}: {_message(reply)}"
                wait_s = _wanted(reply.headers, wait_s)
            await asyncio.sleep(min(wait_s, _LONGEST_WAIT_S))
            wait_s *= 2
        raise NotAsked(problem)

    async def _somebody(self) -> None:
        """Wait for a first router: a system that comes up whole goes on with what it was at."""
        until = time.monotonic() + _ROUTERS_S
        while not self._routers() and time.monotonic() < until:  # noqa: ASYNC110 - others tell it
            await asyncio.sleep(_LOOK_S)

    def _routers(self) -> Sequence[Peer]:
        return self._membership.routers()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


class Eyes:
    """Looks at answers as routers look at what they keep and send. Implements ``Watching``."""

    def __init__(self, redaction: Redaction, asking: HttpAsking) -> None:
        self._redaction = redaction
        self._asking = asking

    async def problems(self, answer: str, tenant: str, intent: str) -> frozenset[str]:
        """Questions and accepted answers are redacted: what is found of persons, it made up.

        Raises ``NotAsked`` when a guard is down, or no router is alive.
        """
        if not answer:
            return frozenset()
        kept = await self._kept(answer)
        found = await self._asking.problems(answer, tenant, intent)
        return found if kept == answer else found | {"personal-data"}

    async def _kept(self, answer: str) -> Any:
        for pause_s in _PATIENCE_S:
            with contextlib.suppress(GuardUnavailable):
                return await self._redaction.kept(answer)
            await asyncio.sleep(pause_s)
        try:
            return await self._redaction.kept(answer)
        except RouterError as error:
            raise NotAsked(f"an answer could not be looked at: {error}") from error


def _body(
    model: str, messages: Messages, max_tokens: int | None, tools: Tools = ()
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [dict(each) for each in messages],
        "temperature": 0,
    }
    if tools:
        body["tools"] = [dict(each) for each in tools]
    return body if max_tokens is None else {**body, "max_tokens": max_tokens}


def _model(target: str) -> str:
    """The name under which clients ask for a target."""
    kind, _, name = target.partition(":")
    return name if kind in {"adapter", "frontier"} else target


def _answer(reply: Reply, seconds: float) -> Answer:
    said = reply.json()
    usage = said.get("usage") if isinstance(said, dict) else None
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    calls = _calls(said)
    return Answer(
        text=answer_text(reply.body, streamed=False) or calls,
        calls=calls,
        seconds=seconds,
        cost_usd=_number(reply.headers.get("x-graftwork-cost-usd")),
        output_tokens=tokens if isinstance(tokens, int) else None,
    )


def _calls(said: Any) -> str:
    """Of an answer that only calls tools, those calls."""
    try:
        calls = said["choices"][0]["message"]["tool_calls"]
    except (KeyError, IndexError, TypeError):
        return ""
    listed = calls if isinstance(calls, list) else []
    functions = [each.get("function") for each in listed if isinstance(each, dict)]
    found = [each for each in functions if isinstance(each, dict)]
    return orjson.dumps(found).decode() if found else ""


def _message(reply: Reply) -> str:
    said = reply.json()
    error = said.get("error") if isinstance(said, dict) else None
    return str(error.get("message")) if isinstance(error, dict) else ""


def _wanted(headers: Mapping[str, str], otherwise: float) -> float:
    wanted = _number(headers.get("retry-after"))
    return otherwise if wanted is None else max(wanted, otherwise)


def _number(text: str | None) -> float | None:
    try:
        found = None if text is None else float(text)
    except ValueError:
        return None
    return found if found is not None and math.isfinite(found) else None
