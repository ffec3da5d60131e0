"""The admin API as a page asks it: the same rows, in this process, with the visitor's rights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import orjson
from starlette.requests import Request

from router.admit.keys import Keyring
from router.config.auth import KeyScope
from router.errors import Overloaded, Refused, RouterError
from router.request import Caller
from router.wire.asgi import Message, Scope
from router.wire.table import Bound, ResourceApp

PREFIX: Final = "/admin/v1"
_WAIT_S: Final = 30.0
_MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
_JSON: Final = "application/json"


def part(name: object) -> str:
    """A name as one part of a path."""
    return quote(str(name), safe="")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a resource answered, whatever its status."""

    status: int
    media_type: str
    body: bytes

    def json(self) -> Any:
        """The body, decoded; None when it is no JSON."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            return None


class AdminApi:
    """The admin plane's table.

    Args:
        rows: the resources as the door serves them.
        keyring: knows which scope a caller has.
    """

    def __init__(self, rows: Iterable[Bound], keyring: Keyring) -> None:
        def authorize(request: Request, row: Bound) -> None:
            if row.scope != "open":
                keyring.authorize(request.scope["caller"], KeyScope(row.scope))

        self._app = ResourceApp(rows, authorize=authorize)

    def of(self, caller: Caller, request_id: str, actor: str = "") -> Api:
        """What this caller may ask. ``actor`` counts only without keys."""
        return Api(self._app, caller, request_id, actor)


class Api:
    """Asks for one visitor, whose name stands in the records of what is done."""

    def __init__(self, app: ResourceApp, caller: Caller, request_id: str, actor: str) -> None:
        self._app = app
        self._caller = caller
        self._request_id = request_id
        self._actor = actor

    async def get(self, path: str, **query: Any) -> Any:
        """What is there; empty parameters are left out. Raises ``RouterError``."""
        return _good(await self.reply("GET", path, query=query)).json()

    async def rows(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The rows of one page of a list. Raises ``RouterError``."""
        found: list[dict[str, Any]] = (await self.get(path, **query))["data"]
        return found

    async def perhaps(self, path: str, **query: Any) -> Any:
        """The same, or None when it cannot be had by this caller, or now."""
        try:
            return await self.get(path, **query)
        except RouterError:
            return None

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        media_type: str = _JSON,
        **query: Any,
    ) -> Any:
        """Do something; the answer's JSON. Raises ``RouterError`` with what the API says."""
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return _good(await self.reply(method, path, raw, media_type, query=query)).json()

    async def reply(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        media_type: str = _JSON,
        *,
        query: Mapping[str, Any] | None = None,
        accept: str = _JSON,
        wait_s: float = _WAIT_S,
    ) -> Reply:
        """One call. Raises ``Overloaded`` when nothing comes in time."""
        asked = urlencode({n: v for n, v in (query or {}).items() if v not in (None, "")})
        heard = _Heard()
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return given.pop() if given else await asyncio.Future[Message]()

        scope = self._scope(method, path, asked, media_type, accept, len(body))
        try:
            async with asyncio.timeout(wait_s):
                await self._app(scope, receive, heard)
        except TimeoutError as error:
            raise Overloaded("That takes too long; try again shortly.", retry_after_s=5) from error
        return heard.reply()

    def _scope(
        self, method: str, path: str, asked: str, media_type: str, accept: str, size: int
    ) -> Scope:
        raw = f"{PREFIX}{path}"
        headers = {"host": "console", "accept": accept}
        if method not in ("GET", "DELETE"):
            headers |= {"content-type": media_type, "content-length": str(size)}
        if self._actor:
            headers["x-graftwork-actor"] = self._actor
        return {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": unquote(raw),
            "raw_path": raw.encode(),
            "query_string": asked.encode(),
            "headers": [(n.encode(), v.encode("latin-1", "replace")) for n, v in headers.items()],
            "client": None,
            "server": ("console", 80),
            "caller": self._caller,
            "request_id": self._request_id,
        }


class _Heard:
    """An ASGI ``send`` that keeps one answer, up to a size."""

    def __init__(self) -> None:
        self._status = 500
        self._type = ""
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = {bytes(n).lower(): bytes(v) for n, v in message.get("headers", ())}
            self._type = headers.get(b"content-type", b"").decode("latin-1")
            return
        self._body += message.get("body", b"")
        if len(self._body) > _MAX_ANSWER_BYTES:
            raise Refused(502, "The answer is too large for a page; use the API.", code="too_large")

    def reply(self) -> Reply:
        return Reply(self._status, self._type, bytes(self._body))


def _good(reply: Reply) -> Reply:
    """The reply, unless it is an error. Raises ``Refused``."""
    if reply.status < 400:
        return reply
    found = reply.json()
    told = found.get("error") if isinstance(found, dict) else None
    error = told if isinstance(told, dict) else {}
    raise Refused(
        reply.status,
        str(error.get("message") or f"The API answered {reply.status}."),
        code=error.get("code"),
        param=error.get("param"),
        more={n: v for n, v in found.items() if n != "error"} if isinstance(found, dict) else None,
    )
