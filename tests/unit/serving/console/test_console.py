"""The console over HTTP: who is let in, what is shown, and that text of others is only text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.admit.keys import hash_key
from router.stages import Heading
from serving.console.console import PAGES
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

HOSTILE = "<script>alert(1)</script>\"'&"
KEY = "key-auditor"


def _args(frontier: FakeFrontier, **more: Any) -> dict[str, Any]:
    model = {"id": "big", "input_usd_per_mtok": 1000.0, "output_usd_per_mtok": 2000.0}
    provider = {"name": "cloud", "base_url": frontier.openai_url, "models": [model]}
    return {"providers": [provider], **more}


@pytest.fixture(scope="module")
def frontier() -> Iterator[FakeFrontier]:
    """A provider."""
    with FakeFrontier() as running:
        yield running


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """On loopback without keys, with some traffic."""
    with whole_system(tmp_path_factory.mktemp("keyless"), _args(frontier), replicas=1) as system:
        for model in ("base", "cloud/big", "cloud/big", f"no{HOSTILE}"):
            _ask(system.url, model)
        yield system


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """As a company runs it."""
    scopes = {"app": ["inference"], "auditor": ["auditor"], "ops": ["admin"]}
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": "t", "scopes": found}
        for name, found in scopes.items()
    ]
    root = tmp_path_factory.mktemp("keyed")
    with whole_system(root, _args(frontier, auth={"keys": keys}), replicas=1) as system:
        yield system


def _ask(url: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "seed": 3}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    return answer.headers["x-graftwork-decision-id"]


def _browser(system: System) -> httpx.Client:
    return httpx.Client(base_url=system.url, timeout=60, trust_env=False)


def _log_in(browser: httpx.Client, key: str, **headers: str) -> httpx.Response:
    headers = headers or {"origin": str(browser.base_url)}
    return browser.post("/console/login", data={"key": key}, headers=headers)


class _Reader(HTMLParser):
    """What a page consists of: tags with attributes, and the texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


# Who is let in


def test_without_keys_there_is_no_login(keyless: System) -> None:
    """Whoever is on this machine looks."""
    with _browser(keyless) as browser:
        assert browser.get("/console").status_code == 200
        assert browser.get("/console/login").headers["location"] == "/console"


def test_with_keys_everybody_logs_in_first(keyed: System) -> None:
    """A field labelled API key; the cookie is no script's and no other site's, and holds no key."""
    with _browser(keyed) as browser:
        sent = browser.get("/console")
        assert (sent.status_code, sent.headers["location"]) == (303, "/console/login")
        page = _Reader(browser.get("/console/login").text)
        (label,) = page.of("label")
        assert "API key" in page.words
        assert label["for"] == page.of("input")[0]["id"]
        answer = _log_in(browser, KEY)
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(cookie.split("; "))
        assert KEY not in cookie
        assert hash_key(KEY) not in cookie
        assert browser.get("/console").status_code == 200


def test_behind_https_the_cookie_stays_there(keyed: System) -> None:
    """Also when somebody in front of this process ends the TLS."""
    with _browser(keyed) as browser:
        headers = {"origin": str(browser.base_url), "x-forwarded-proto": "https"}
        assert _log_in(browser, KEY, **headers).headers["set-cookie"].endswith("; Secure")
        assert "Secure" not in _log_in(browser, KEY).headers["set-cookie"]


@pytest.mark.parametrize(
    "origin", [None, "https://evil.example", "null", "http://127.0.0.1:1", "http://["]
)
def test_acting_needs_the_servers_own_origin(keyed: System, origin: str | None) -> None:
    """Logging in and out, with a cookie or without."""
    headers = {"x-nothing": "1"} if origin is None else {"origin": origin}
    with _browser(keyed) as browser:
        assert _log_in(browser, KEY, **headers).status_code == 403
        _log_in(browser, KEY)
        assert browser.post("/console/logout", headers=headers).status_code == 403
        assert browser.get("/console").status_code == 200  # still logged in
        if origin is not None:
            assert browser.get("/console", headers=headers).status_code == 403


def test_logging_out_ends_it(keyed: System) -> None:
    """The browser forgets the cookie."""
    with _browser(keyed) as browser:
        _log_in(browser, KEY)
        out = browser.post("/console/logout", headers={"origin": str(browser.base_url)})
        assert "Max-Age=0" in out.headers["set-cookie"]
        assert browser.get("/console").status_code == 303


@pytest.mark.parametrize("key", ["", "key-nobody", "key-auditor\x00"])
def test_a_wrong_key_is_told_so(keyed: System, key: str) -> None:
    """And gets no cookie."""
    with _browser(keyed) as browser:
        answer = _log_in(browser, key)
        assert answer.status_code == 401
        assert "no such key" in answer.text
        assert "set-cookie" not in answer.headers


def test_a_key_that_may_not_see_pages(keyed: System) -> None:
    """An application's key has no business here; an admin's may see all."""
    with _browser(keyed) as browser:
        _log_in(browser, "key-app")
        assert browser.get("/console").status_code == 403
        _log_in(browser, "key-ops")
        assert browser.get("/console").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda value: "",
        lambda value: value[:-1],
        lambda value: value.replace(value.split(".")[1], "9999999999"),
        lambda value: "b3Bz" + value[value.index(".") :],  # somebody else's name
        lambda value: "\u00e9.1.x",
        lambda value: f"x.{'9' * 5000}.y",
        lambda _: r'"YQ.\262.x"',  # a digit to Python, and no number
    ],
)
def test_a_cookie_that_was_changed_is_none(keyed: System, change: Any) -> None:
    """Whatever was changed of it."""
    with _browser(keyed) as browser:
        value = _log_in(browser, KEY).headers["set-cookie"].split("=", 1)[1].split(";")[0]
    raw = f"graftwork_console={change(value)}".encode()
    sent = httpx.get(f"{keyed.url}/console", headers=[(b"cookie", raw)])
    assert sent.status_code == 303


# What is shown


@pytest.mark.parametrize("page", [page for page in PAGES if "{" not in page.path])
def test_every_page_is_accessible_and_from_here_alone(keyless: System, page: Any) -> None:
    """A language, one main heading, labelled fields, captions, words for pictures."""
    with _browser(keyless) as browser:
        answer = browser.get(f"/console{page.path}")
    assert answer.status_code == 200
    found = _Reader(answer.text)
    assert found.of("html") == [{"lang": "en"}]
    assert len(found.of("h1")) == 1
    assert found.of("meta")[1]["content"] == "width=device-width, initial-scale=1"
    labels = {label["for"] for label in found.of("label")}
    fields = {field["id"] for field in found.of("input") if field.get("type") != "hidden"}
    assert fields <= labels
    assert len(found.of("caption")) == len(found.of("table"))
    assert all(svg["role"] == "img" for svg in found.of("svg"))
    assert len(found.of("desc")) == len(found.of("svg"))
    assert found.of("script") == [{"src": "/console/console.js", "defer": None}]
    assert not any("style" in attrs for _, attrs in found.tags)
    links = [attrs.get(name) or "" for _, attrs in found.tags for name in ("href", "src", "action")]
    assert not [link for link in links if "//" in link]
    current = [each for each in found.of("a") if each.get("aria-current") == "page"]
    assert len(current) == 1


def test_pages_are_guarded(keyless: System) -> None:
    """Nothing runs in them, nothing frames them, nobody keeps them."""
    headers = httpx.get(f"{keyless.url}/console").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    style = httpx.get(f"{keyless.url}/console/console.css")
    assert style.headers["content-type"].startswith("text/css")
    assert not re.search(r"url\(|@import", style.text)


def _until(system: System, path: str, text: str) -> str:
    """The page when it says this; the books are a second behind."""
    deadline = time.monotonic() + 60
    while True:
        page = httpx.get(f"{system.url}{path}").text
        if text in page or time.monotonic() > deadline:
            return page
        time.sleep(0.1)


def test_the_overview_has_the_seven_headings_now_and_within_a_day(keyless: System) -> None:
    """As pictures and in numbers; traffic, what was answered locally, and cost."""
    page = _until(keyless, "/console", "<b>33.3 %</b>")
    assert "<b>33.3 %</b> answered locally" in page
    assert "Time by heading, last five minutes" in page
    assert "Time by heading, last 24 hours" in page
    for heading in Heading:
        assert page.count(f"</span>{heading.value}</th>") == 2
    found = _Reader(page)
    assert len(found.of("svg")) == 4
    for signal in ("intent", "confidence", "redactions", "quality"):
        assert f">{signal}</th>" in page
    assert "frontier:cloud/big" in found.words


def test_one_decision_is_shown_in_full(keyless: System) -> None:
    """Each fact of its record is on the page."""
    identity = _ask(keyless.url, "cloud/big")
    record = httpx.get(f"{keyless.url}/admin/v1/decisions/{identity}").json()
    page = httpx.get(f"{keyless.url}/console/decisions/{identity}").text
    for title in ("Redactions", "Safety", "Policy", "Context", "Warnings", "Candidates", "Time"):
        assert f"<h2>{title}</h2>" in page
    assert all(f">{stage}</th>" in page for stage in record["stages"])
    words = "".join(_Reader(page).words)
    whole = words[words.index("The whole record") :]
    assert all(f'"{name}":' in whole for name in record)
    assert record["request_id"] in words


def test_only_what_can_be_asked_for_is_a_link(keyless: System) -> None:
    """Requests that nobody answered have no target to search for."""
    _until(keyless, "/console", '<th scope="row">none</th>')
    page = httpx.get(f"{keyless.url}/console").text
    assert '<a href="/console/decisions?target=base">base</a>' in page
    assert "target=none" not in page


def test_decisions_are_searched(keyless: System) -> None:
    """By id, target, status, intent and time; what is wrong with a question is said."""
    identity = _ask(keyless.url, "base")
    url = f"{keyless.url}/console/decisions"

    def ids(**asked: str) -> set[str]:
        page = httpx.get(url, params=asked).text
        return set(re.findall(r"/console/decisions/(dec_\w+)", page))

    assert ids(id=identity) == {identity}
    assert identity in ids(target="base")
    assert identity not in ids(target="frontier:cloud/big")
    assert len(ids(status="404")) == 1
    assert identity in ids(intent="none", tenant="default")
    assert ids(intent="other") == set()
    assert ids(since="2999-01-01") == set()
    assert ids(id="dec_nothing") == set()
    wrong = httpx.get(url, params={"since": "yesterday"})
    assert wrong.status_code == 400
    assert '<a href="/console/decisions">Back to Decisions</a>' in wrong.text
    assert httpx.get(f"{url}/dec_nothing").status_code == 404


def test_text_of_others_is_only_text(keyless: System) -> None:
    """A model's name, a search, a path: none of it is markup."""
    rows = httpx.get(f"{keyless.url}/admin/v1/decisions?status=404").json()["data"]
    hostile = rows[0]["id"]
    asked = {"tenant": HOSTILE, "id": HOSTILE, "since": HOSTILE}
    for path in (f"/console/decisions/{hostile}", "/console/decisions/<script>x"):
        answer = httpx.get(f"{keyless.url}{path}")
        assert len(_Reader(answer.text).of("script")) == 1
    page = httpx.get(f"{keyless.url}/console/decisions/{hostile}").text
    assert HOSTILE in "".join(_Reader(page).words)
    for name, value in asked.items():
        page = httpx.get(f"{keyless.url}/console/decisions", params={name: value}).text
        assert len(_Reader(page).of("script")) == 1


def test_pages_stand_in_no_reference_of_the_api(keyless: System) -> None:
    """They are for people."""
    assert "/console" not in httpx.get(f"{keyless.url}/openapi.json").text


def test_every_page_is_one_file_and_one_template() -> None:
    """Further pages are found by their files."""
    folder = Path("serving/console")
    templates = {path.name for path in (folder / "templates").glob("*.html")}
    assert {page.template for page in PAGES} <= templates
    assert len(PAGES) == len([p for p in (folder / "pages").glob("*.py") if p.stem != "__init__"])
    assert PAGES[0].path == ""
