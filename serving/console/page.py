"""What a page of the console is, and what it gets."""

from __future__ import annotations

import pkgutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from router.config.auth import KeyScope
from router.request import Caller
from serving.console.api import Api


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody looks at a page, or acts on it.

    Attributes:
        caller: who.
        path: the parameters in the page's path.
        query: those after it; of several alike the last one.
        api: the admin API, with the caller's rights.
        name: under which the caller acts, which is the reviewer's.
        form: the fields that were sent; empty where somebody only looks.
        body: of a form with a file: its bytes as they came, and their media type.
    """

    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, str]
    api: Api
    name: str
    form: Mapping[str, str] = field(default_factory=dict)
    body: tuple[bytes, str] = (b"", "")

    def may(self, scope: KeyScope) -> bool:
        """Whether the caller has the scope; an admin has every one of the admin plane's."""
        scopes = self.caller.scopes
        return scope in scopes or (scope is not KeyScope.INFERENCE and KeyScope.ADMIN in scopes)

    @property
    def is_admin(self) -> bool:
        """Whether the caller may change things."""
        return self.may(KeyScope.ADMIN)


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        path: below ``/console``; the first page's is empty.
        title: in the navigation and in the window.
        template: its file.
        show: what the template gets. Raises ``RouterError``, which is shown in its place.
        act: what its forms do; answers the path below ``/console`` to go on at, or None where the
            page itself shows what came of it. Raises ``RouterError``, which is shown on the page.
        scope: what a key must have to see it.
        place: where in the navigation; None: it is reached from another page.
        live: kinds of events after which it is shown anew.
        said: by the ``done`` of a path to go on at, what is told there.
        max_bytes: of what its forms send.
    """

    path: str
    title: str
    template: str
    show: Callable[[Visit], Awaitable[dict[str, Any]]]
    act: Callable[[Visit], Awaitable[str | None]] | None = None
    scope: KeyScope = KeyScope.AUDITOR
    place: int | None = None
    live: tuple[str, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = 64 * 1024

    @property
    def section(self) -> str:
        """The path of the page in the navigation that it belongs to."""
        return "/" + self.path.split("/")[1] if self.path else ""


def found_in(package: str, path: Iterable[str]) -> tuple[Page, ...]:
    """The pages of the files in a package, in the order of the navigation."""
    names = sorted(each.name for each in pkgutil.iter_modules(path))
    pages: list[Page] = [import_module(f"{package}.{name}").PAGE for name in names]
    return tuple(sorted(pages, key=lambda page: (page.place is None, page.place or 0, page.path)))
