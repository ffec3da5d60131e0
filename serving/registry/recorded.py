"""Every admin action is on record before its answer leaves; with no room for it, none is done."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from adapters.records.line import Entry, Kind
from adapters.records.writer import RecordLog, Unavailable
from router.errors import AuditUnavailable
from router.govern.detectors import kept_path
from router.wire.asgi import ASGIApp, Message, Receive, Scope, Send
from router.wire.table import refuse

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ASKING: Final = frozenset({"/audit/verify", "/policy/evaluate"})
"""What is asked with a body and changes nothing."""
_POLICY: Final = re.compile(r"/policy(/.*)?")
_MAX_PATH: Final = 512
_NOTHING_THERE: Final = frozenset({404, 405})
_NO_PATH: Final = "a path that is not there"
_RETRY_AFTER_S: Final = 2.0


class RecordedAdmin:
    """ASGI middleware around the admin plane. ``prefix`` is cut from what an action is called."""

    def __init__(self, app: ASGIApp, log: RecordLog, prefix: str) -> None:
        self._app = app
        self._log = log
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; an action's answer waits until the action is on record."""
        if scope["type"] != "http" or self._only_asks(scope):
            await self._app(scope, receive, send)
            return
        reason = self._log.refusal()
        if reason is not None:
            await refuse(scope, _unavailable(reason), send)
            return
        await self._app(scope, receive, _Answer(self._log, self._entry(scope), scope, send))

    def _only_asks(self, scope: Scope) -> bool:
        path = str(scope["path"]).removeprefix(self._prefix)
        return scope["method"] in _READING or path in _ASKING

    def _entry(self, scope: Scope) -> Callable[[int], Entry]:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        path = str(scope["path"]).removeprefix(self._prefix)
        # What is worth a record of an action, its handler knows.
        told: dict[str, str | None] = {}
        scope["recorded"] = told

        kind = Kind.POLICY if _POLICY.fullmatch(path) else Kind.ADMIN

        def made(status: int) -> Entry:
            return Entry(
                kind,
                time.time(),
                headers.get("x-request-id"),
                actor=headers.get("x-graftwork-actor"),
                fields={
                    "action": f"{scope['method']} {self._told(path, scope, status)}",
                    "status": status,
                    **told,
                },
            )

        return made

    def _told(self, path: str, scope: Scope, status: int) -> str:
        """What an action is called on record.

        Where it names nothing that is here, what somebody typed there may be anybody's name.
        """
        if status in _NOTHING_THERE:
            return str(scope.get("row", _NO_PATH)).removeprefix(self._prefix)
        return kept_path(path)[:_MAX_PATH]


class _Answer:
    """An ASGI ``send`` that lets nothing out before the action is on record."""

    def __init__(
        self, log: RecordLog, entry: Callable[[int], Entry], scope: Scope, send: Send
    ) -> None:
        self._log = log
        self._entry = entry
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            try:
                await self._log.reached(self._log.add(self._entry(start["status"])))
            except Unavailable as error:
                self._replaced = True
                refused = _unavailable(
                    f"It was done, and its record waits: {str(error).rstrip('.')}."
                )
                await refuse(self._scope, refused, self._send)
                return
            await self._send(start)
        if not self._replaced:
            await self._send(message)


def _unavailable(reason: str) -> AuditUnavailable:
    return AuditUnavailable(reason, retry_after_s=_RETRY_AFTER_S)
