"""What a page of the console is, and what it gets."""

from __future__ import annotations

import pkgutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from router.config.auth import KeyScope
from router.request import Caller
from serving.console.sources import Sources


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody looks at a page.

    Attributes:
        caller: who.
        path: the parameters in the page's path.
        query: those after it; of several alike the last one.
        sources: what there is to be shown.
    """

    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, str]
    sources: Sources


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        path: below ``/console``; the first page's is empty.
        title: in the navigation and in the window.
        template: its file.
        show: what the template gets. Raises ``RouterError``, which is shown in its place.
        scope: what a key must have to see it.
        place: where in the navigation; None: it is reached from another page.
    """

    path: str
    title: str
    template: str
    show: Callable[[Visit], Awaitable[dict[str, Any]]]
    scope: KeyScope = KeyScope.AUDITOR
    place: int | None = None


def found_in(package: str, path: Iterable[str]) -> tuple[Page, ...]:
    """The pages of the files in a package, in the order of the navigation."""
    names = sorted(each.name for each in pkgutil.iter_modules(path))
    pages: list[Page] = [import_module(f"{package}.{name}").PAGE for name in names]
    return tuple(sorted(pages, key=lambda page: (page.place is None, page.place or 0, page.path)))
