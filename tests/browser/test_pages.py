"""Every page: nothing that keeps people out, none wider than a phone, nothing but text in texts."""

from __future__ import annotations

import pytest

from serving.console.console import PAGES
from tests.browser.conftest import admin, log_in
from tests.browser.driver import DESK, PHONE, Browser
from tests.contract.client import ADMIN
from tests.fakes.whole_system import System


@pytest.fixture(scope="module")
def paths(system: System) -> list[str]:
    """Each page, those of one thing with something that is there."""
    with admin(system) as api:
        one = {
            "/decisions/{id}": ("/decisions", "id"),
            "/documents/{id}": ("/documents", "id"),
            "/adapters/{alias}": ("/adapters", "alias"),
            "/reviews/{id}": ("/reviews", "id"),
            "/datasets/{digest}": ("/datasets", "digest"),
            "/distillations/{id}": ("/distillations", "id"),
        }
        found = []
        for page in PAGES:
            if "{" not in page.path:
                found.append(page.path)
                continue
            path, name = one[page.path]
            rows = api.get(f"{ADMIN}{path}?limit={3 if path == '/adapters' else 1}").json()["data"]
            found += [f"{path}/{row[name]}" for row in rows]
    return [*found, "/documents?q=refunds", "/audit?checkpoint=1", "/policy?done=put"]


def test_axe_finds_nothing_and_no_page_is_wider_than_a_screen(
    window: Browser, system: System, paths: list[str]
) -> None:
    """Light and dark, on a desk and on a phone."""
    log_in(window, system)
    wrong: dict[str, object] = {}
    for path in paths:
        for width, dark, rules in ((PHONE, False, ()), (DESK, True, ("color-contrast",))):
            window.device(width, dark=dark)
            window.go(f"{system.url}/console{path}")
            found = (window.violations(*rules), window.overflow(), window.complaints())
            if found != ([], 0, []):
                wrong[f"{path} {width}"] = found
    assert wrong == {}


def test_the_login_is_accessible(window: Browser, system: System) -> None:
    """Before anybody is known."""
    window.device(PHONE)
    assert (window.violations(), window.overflow()) == ([], 0)


def test_a_list_is_walked_by_keys_alone(window: Browser, system: System) -> None:
    """j and k go through the rows, Enter opens one; a field takes them as letters."""
    log_in(window, system)
    window.go(f"{system.url}/console/adapters")
    window.keys("j", "j", "k", "Enter")
    window.until(lambda: window.url.endswith("/adapters/kept"))
    window.go(f"{system.url}/console/decisions")
    window.keys("j", "j", "Enter")
    window.until(lambda: "/decisions/dec_" in window.url)
    window.go(f"{system.url}/console/documents")
    window.keys("/", "j")
    assert window.run("return document.activeElement.value") == "j"
    window.keys("Escape", "j")
    assert window.run("return document.activeElement.matches('a[data-row]')")


def test_a_text_keeps_its_direction_to_itself(window: Browser, system: System) -> None:
    """One from right to left begins at the right, and turns nothing that stands beside it."""
    log_in(window, system)
    window.go(f"{system.url}/console/reviews")
    for selector in ("th a", "h1", "summary"):
        asked = f"return getComputedStyle(document.querySelector({selector!r})).unicodeBidi"
        assert window.run(asked) == "plaintext", selector


def test_no_word_of_a_list_is_cut(window: Browser, system: System) -> None:
    """Why a review was opened is one word here, and stands on one line."""
    log_in(window, system)
    window.go(f"{system.url}/console/reviews")
    lines = (
        "return [...document.querySelectorAll('td.words')].map(cell => {"
        "const range = document.createRange(); range.selectNodeContents(cell);"
        "return [cell.textContent, range.getClientRects().length]; })"
    )
    cells = window.run(lines)
    assert cells
    assert [words for words, number in cells if " " not in words and number > 1] == []


def test_the_first_tab_skips_the_navigation(window: Browser, system: System) -> None:
    """And the content has the focus then."""
    log_in(window, system)
    window.go(f"{system.url}/console/policy")
    window.keys("Tab", "Enter")
    window.until(lambda: window.run("return document.activeElement.id") == "content")
