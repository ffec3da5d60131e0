"""Serves the console's pages to whoever may see them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from adapters.resources import Resource
from router.admit.keys import Keyring
from router.errors import RouterError, TooLarge, Unauthenticated
from serving.console import pages, words
from serving.console.page import Page, Visit, found_in
from serving.console.session import Sessions, check_origin
from serving.console.sources import Sources

ROOT: Final = "/console"
PAGES: Final = found_in(pages.__name__, pages.__path__)
_FOLDER: Final = Path(__file__).parent
_MAX_FORM_BYTES: Final = 4096
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_Handler = Callable[[None, Request], Awaitable[Response]]


class Console:
    """The pages, for the door's table.

    Args:
        keyring: who may log in.
        secret: what all routers of the system know.
        sources: what is shown.
    """

    def __init__(
        self, keyring: Keyring, secret: Callable[[], str | None], sources: Sources
    ) -> None:
        self._sessions = Sessions(keyring, secret)
        self._keyring = keyring
        self._sources = sources

    def rows(self) -> list[Resource[None]]:
        """All of it; open, because a browser that is not logged in is sent to the login."""
        return [
            *(_row("GET", f"{ROOT}{page.path}", self._shown(page)) for page in PAGES),
            _row("GET", f"{ROOT}/", self._first),
            _row("GET", f"{ROOT}/login", self._ask_for_key),
            _row("POST", f"{ROOT}/login", self._log_in),
            _row("POST", f"{ROOT}/logout", self._log_out),
            _row("GET", f"{ROOT}/console.css", self._style),
        ]

    def _shown(self, page: Page) -> _Handler:
        async def shown(_: None, request: Request) -> Response:
            try:
                check_origin(request)
                caller = self._sessions.caller(request)
                if caller is None:
                    return RedirectResponse(f"{ROOT}/login", 303, _HEADERS)
                self._keyring.authorize(caller, page.scope)
                query = dict(request.query_params)
                visit = Visit(caller, request.path_params, query, self._sources)
                facts = await page.show(visit)
            except RouterError as error:
                return self._failed(error)
            return self._page(page.template, page.title, page.path, **facts)

        return shown

    async def _first(self, _: None, __: Request) -> Response:
        return RedirectResponse(ROOT, 308, _HEADERS)

    async def _ask_for_key(self, _: None, __: Request) -> Response:
        if self._sessions.is_open:
            return RedirectResponse(ROOT, 303, _HEADERS)
        return self._page("login.html", "Log in", None, problem="")

    async def _log_in(self, _: None, request: Request) -> Response:
        try:
            check_origin(request)
            form = await _form(request)
            cookie = self._sessions.cookie_for(form.get("key", ""), secure=_is_secure(request))
        except Unauthenticated:
            problem = "There is no such key."
            return self._page("login.html", "Log in", None, status=401, problem=problem)
        except RouterError as error:
            return self._failed(error)
        return RedirectResponse(ROOT, 303, {**_HEADERS, "set-cookie": cookie})

    async def _log_out(self, _: None, request: Request) -> Response:
        try:
            check_origin(request)
        except RouterError as error:
            return self._failed(error)
        cookie = self._sessions.ended(secure=_is_secure(request))
        return RedirectResponse(f"{ROOT}/login", 303, {**_HEADERS, "set-cookie": cookie})

    async def _style(self, _: None, __: Request) -> Response:
        kept = {**_HEADERS, "cache-control": "max-age=300"}
        return Response(_stylesheet(), media_type="text/css", headers=kept)

    def _failed(self, error: RouterError) -> Response:
        return self._page(
            "error.html", "That did not work", None, status=error.status, message=error.message
        )

    def _page(
        self, template: str, title: str, path: str | None, *, status: int = 200, **facts: Any
    ) -> HTMLResponse:
        text = (
            _templates()
            .get_template(template)
            .render(
                title=title,
                path=path,
                navigation=[page for page in PAGES if page.place is not None],
                has_login=not self._sessions.is_open,
                root=ROOT,
                now=time.time(),
                **facts,
            )
        )
        return HTMLResponse(text, status, _HEADERS)


def _row(method: str, path: str, handler: _Handler) -> Resource[None]:
    return Resource("open", method, path, handler)


def _is_secure(request: Request) -> bool:
    """Whether the browser came over HTTPS, here or to what stands in front of it."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").lower())


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= words.FILTERS
    return environment


@cache
def _stylesheet() -> bytes:
    return (_FOLDER / "static/console.css").read_bytes()


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form. Raises ``TooLarge``."""
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > _MAX_FORM_BYTES:
            raise TooLarge(f"The form is larger than {_MAX_FORM_BYTES} bytes.")
    return dict(parse_qsl(raw.decode("utf-8", "replace")))
