"""What pages say while there is nothing: what to do next, in commands that exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from router.admit.keys import hash_key
from tests.fakes.whole_system import whole_system


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """In front of a system that nobody has used."""
    root: Path = tmp_path_factory.mktemp("empty")
    with (
        whole_system(root, replicas=1) as system,
        httpx.Client(base_url=f"{system.url}/console", timeout=30, follow_redirects=True) as found,
    ):
        yield found


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("", "curl $GRAFTWORK_URL/v1/chat/completions"),
        ("/reviews", "graftwork exchanges list"),
        ("/clusters", "graftwork exchanges list"),
        ("/datasets", "graftwork datasets create returns-1 --intent returns"),
        ("/distillations", "graftwork distill --intent returns"),
        ("/adapters", "graftwork push returns ./my-adapter"),
        ("/decisions", "curl $GRAFTWORK_URL/v1/chat/completions"),
        ("/policy", "graftwork policy push rules.yaml --shadow"),
        ("/documents", "graftwork documents add handbook.pdf --collection handbook"),
        ("/erasures", "graftwork erase --subject NAME"),
    ],
)
def test_an_empty_page_says_what_to_do(http: httpx.Client, page: str, says: str) -> None:
    """A stranger sees each of them first."""
    answer = http.get(page)
    assert answer.status_code == 200, answer.text
    assert says in answer.text


def test_a_search_that_finds_nothing_says_so(http: httpx.Client) -> None:
    """That is another thing than a log with nothing in it."""
    answer = http.get("/decisions", params={"tenant": "nobody"})
    assert "Nothing fits" in answer.text
    assert "curl" not in answer.text


def test_every_kind_that_the_audit_page_offers_can_be_asked_for(http: httpx.Client) -> None:
    """A choice must not end in an error."""
    offered = [
        each.partition(">")[2].partition("<")[0]
        for each in http.get("/audit").text.split("<option")[2:]
    ]
    assert "request.begin" in offered
    for kind in offered:
        assert http.get("/audit", params={"kind": kind}).status_code == 200, kind


def test_a_page_that_is_not_there_is_a_page(http: httpx.Client) -> None:
    """With the way back, in the language of the rest."""
    answer = http.get("/nowhere/at/all")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is no such page." in answer.text


def test_a_key_that_opens_no_page_is_told_so(tmp_path: Path) -> None:
    """Applications' keys do nothing here; which ones do is said."""
    key = {"name": "app", "sha256": hash_key("key-app"), "scopes": ["inference"]}
    with (
        whole_system(tmp_path, {"auth": {"keys": [key]}}, replicas=1) as system,
        httpx.Client(base_url=system.url, follow_redirects=True, timeout=30) as http,
    ):
        origin = {"origin": system.url}
        answer = http.post("/console/login", data={"key": "key-app"}, headers=origin)
    assert answer.status_code == 403
    assert "scope admin, reviewer or auditor" in answer.text
