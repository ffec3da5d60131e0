"""Serves the console's pages to whoever may see them, and does what their forms ask for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from adapters.resources import Resource
from router.account.gauges import Reading
from router.admit.keys import Keyring
from router.errors import NotFound, Refused, RouterError, Unauthenticated
from router.request import Caller
from router.wire.table import Bound
from serving.console import pages, words
from serving.console.api import AdminApi
from serving.console.forms import Forms
from serving.console.live import Live
from serving.console.page import Page, Visit, found_in
from serving.console.session import BACK, Sessions, back, check_origin, coming_back

ROOT: Final = "/console"
PAGES: Final = found_in(pages.__name__, pages.__path__)
_FOLDER: Final = Path(__file__).parent
_MAX_LOGIN_BYTES: Final = 4096
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    # Not `no-referrer`: forms would come with the origin `null`, as if from anywhere.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_BACK_S: Final = 600
_FILES: Final = {"console.css": "text/css", "console.js": "text/javascript"}
_NO_PAGE: Final = (
    "The key {!r} opens no page. Log out, and log in with one of scope admin, reviewer or auditor."
)
_Handler = Callable[[None, Request], Awaitable[Response]]


class Console:
    """The pages, for the door's table.

    Args:
        keyring: who may log in.
        secret: what all routers of the system know.
        rows: the admin plane's resources: whatever pages show and do goes through them.
    """

    def __init__(
        self, keyring: Keyring, secret: Callable[[], str | None], rows: Iterable[Bound]
    ) -> None:
        rows = list(rows)
        self._sessions = Sessions(keyring, secret)
        self._keyring = keyring
        self._api = AdminApi(rows, keyring)
        self._live = Live(rows)
        self._forms = Forms()

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        live = self._live
        return {
            "graftwork_console_streams": (
                "Open pages of the console that are told what happens.",
                lambda: live.open,
            )
        }

    def rows(self) -> list[Resource[None]]:
        """All of it; open, because a browser that is not logged in is sent to the login."""
        return [
            *(_row("GET", f"{ROOT}{page.path}", self._shown(page)) for page in PAGES),
            *(_row("POST", f"{ROOT}{page.path}", self._acted(page)) for page in PAGES if page.act),
            _row("GET", f"{ROOT}/", self._first),
            _row("GET", f"{ROOT}/login", self._ask_for_key),
            _row("POST", f"{ROOT}/login", self._log_in),
            _row("POST", f"{ROOT}/logout", self._log_out),
            _row("GET", f"{ROOT}/events", self._events),
            *(_row("GET", f"{ROOT}/{name}", _file(name)) for name in _FILES),
            _row("GET", f"{ROOT}/{{page:path}}", self._nothing),
        ]

    def _shown(self, page: Page) -> _Handler:
        async def shown(_: None, request: Request) -> Response:
            try:
                caller = self._visitor(request)
                if caller is None:
                    return _to_login(request)
                visit = self._visit(request, caller)
                if page.place == 0 and not visit.may(page.scope):
                    if others := _open_to(visit):
                        return _go(others[0].path)
                    raise Refused(403, _NO_PAGE.format(visit.name), code="missing_scope")
                self._keyring.authorize(caller, page.scope)
                facts = await page.show(visit)
            except RouterError as error:
                return self._failed(request, error, page)
            return self._page(page.template, page.title, page, visit, **facts)

        return shown

    def _acted(self, page: Page) -> _Handler:
        act = page.act
        assert act is not None

        async def acted(_: None, request: Request) -> Response:
            try:
                caller = self._visitor(request)
                if caller is None:
                    return _go("/login")
                self._keyring.authorize(caller, page.scope)
                form, body = await self._forms.read(request, page.max_bytes)
                visit = self._visit(request, caller, form=form, body=body)
            except RouterError as error:
                return self._failed(request, error)
            try:
                path = await act(visit)
                if path is not None:
                    return _go(path)
                facts = await page.show(visit)
            except RouterError as error:
                return await self._not_done(request, page, visit, error)
            return self._page(page.template, page.title, page, visit, **facts)

        return acted

    async def _not_done(
        self, request: Request, page: Page, visit: Visit, error: RouterError
    ) -> Response:
        """The page with what went wrong, and what was typed."""
        try:
            facts = await page.show(visit)
        except RouterError:
            return self._failed(request, error, page)
        return self._page(
            page.template, page.title, page, visit, status=error.status, problem=error, **facts
        )

    def _visitor(self, request: Request) -> Caller | None:
        check_origin(request)
        return self._sessions.caller(request)

    def _visit(self, request: Request, caller: Caller, **more: Any) -> Visit:
        return Visit(
            caller=caller,
            path=request.path_params,
            query=dict(request.query_params),
            api=self._api.of(caller, request.scope.get("request_id", "")),
            name=caller.name,
            **more,
        )

    async def _first(self, _: None, __: Request) -> Response:
        return RedirectResponse(ROOT, 308, _HEADERS)

    async def _nothing(self, _: None, request: Request) -> Response:
        return self._failed(request, NotFound("There is no such page."))

    async def _ask_for_key(self, _: None, __: Request) -> Response:
        if self._sessions.is_open:
            return _go("")
        return self._page("login.html", "Log in", wrong="")

    async def _log_in(self, _: None, request: Request) -> Response:
        try:
            check_origin(request)
            form, _body = await self._forms.read(request, _MAX_LOGIN_BYTES)
            cookie = self._sessions.cookie_for(form.get("key", ""), secure=_is_secure(request))
        except Unauthenticated:
            wrong = "There is no such key."
            return self._page("login.html", "Log in", status=401, wrong=wrong)
        except RouterError as error:
            return self._failed(request, error)
        going = RedirectResponse(f"{ROOT}{back(request)}", 303, {**_HEADERS, "set-cookie": cookie})
        if BACK in request.cookies:
            going.headers.append("set-cookie", coming_back("", 0))
        return going

    async def _log_out(self, _: None, request: Request) -> Response:
        try:
            check_origin(request)
        except RouterError as error:
            return self._failed(request, error)
        cookie = self._sessions.ended(secure=_is_secure(request))
        return RedirectResponse(f"{ROOT}/login", 303, {**_HEADERS, "set-cookie": cookie})

    async def _events(self, _: None, request: Request) -> Response:
        try:
            caller = self._visitor(request)
            if caller is None:
                raise Unauthenticated("Log in first.")
            after = request.headers.get("last-event-id", "")
            return self._live.stream(caller, request.scope.get("request_id", ""), after)
        except RouterError as error:
            return Response(error.message, error.status, _HEADERS, "text/plain")

    def _failed(self, request: Request, error: RouterError, page: Page | None = None) -> Response:
        """Said on a page of its own, from where one comes back to the list that has ``page``."""
        caller = None
        with contextlib.suppress(RouterError):  # while the registry starts nobody is known
            caller = self._sessions.caller(request)
        visit = None if caller is None else self._visit(request, caller)
        return self._page(
            "error.html",
            "That did not work",
            None,
            visit,
            status=error.status,
            message=error.message,
            back=_back_to(page, request, error),
            left=error.more.get("rebuilt_as") if isinstance(error, Refused) else None,
        )

    def _page(
        self,
        template: str,
        title: str,
        page: Page | None = None,
        visit: Visit | None = None,
        *,
        status: int = 200,
        **facts: Any,
    ) -> HTMLResponse:
        done = visit.query.get("done", "") if visit is not None else ""
        given = {
            "title": title,
            "section": None if page is None else page.section,
            "live": () if page is None else page.live,
            "said": "" if page is None or facts.get("problem") else page.said.get(done, ""),
            "navigation": () if visit is None else _open_to(visit),
            "visit": visit,
            "has_login": not self._sessions.is_open,
            "root": ROOT,
            "now": time.time(),
            "problem": None,
            "errors": _errors(facts.get("problem")),
        }
        text = _templates().get_template(template).render(**{**given, **facts})
        return HTMLResponse(text, status, _HEADERS)


def _back_to(page: Page | None, request: Request, error: RouterError) -> Page:
    """Where to go on; after a search for what cannot be searched for, its own page."""
    if page is not None and page.place is not None and request.url.query and error.status == 400:
        return page
    return _list_of(page)


def _list_of(page: Page | None) -> Page:
    """The page of the navigation that a page belongs to; the first one, where it is that itself."""
    section = "" if page is None or page.place is not None else page.section
    return next(each for each in PAGES if each.path == section)


def _errors(problem: Any) -> Any:
    """What an error has to say in detail."""
    return problem.more.get("errors", ()) if isinstance(problem, Refused) else ()


def _open_to(visit: Visit) -> list[Page]:
    """The pages of the navigation that the visitor may see."""
    return [page for page in PAGES if page.place is not None and visit.may(page.scope)]


def _row(method: str, path: str, handler: _Handler) -> Resource[None]:
    return Resource("open", method, path, handler)


def _go(path: str) -> Response:
    return RedirectResponse(f"{ROOT}{path}", 303, _HEADERS)


def _to_login(request: Request) -> Response:
    """To the login, which remembers the page that was asked for."""
    query = f"?{request.url.query}" if request.url.query else ""
    page, going = request.url.path.removeprefix(ROOT) + query, _go("/login")
    if page:
        going.headers.append("set-cookie", coming_back(page, _BACK_S))
    return going


def _is_secure(request: Request) -> bool:
    """Whether the browser came over HTTPS, here or to what stands in front of it."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").lower())


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        # Records have fewer fields after an erasure, and what another version wrote has others.
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= words.FILTERS
    return environment


def _file(name: str) -> _Handler:
    async def sent(_: None, __: Request) -> Response:
        kept = {**_HEADERS, "cache-control": "max-age=300"}
        return Response(_bytes(name), media_type=_FILES[name], headers=kept)

    return sent


@cache
def _bytes(name: str) -> bytes:
    return (_FOLDER / "static" / name).read_bytes()
