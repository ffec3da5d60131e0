"""What pages do: with the rights and name of who is logged in, from this server's pages only."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from starlette.requests import Request

from adapters.records.sealing import AUDIT
from adapters.records.subjects import Subjects
from adapters.review.item import Candidate
from router.admit.keys import LOCAL, hash_key
from router.errors import Overloaded, TooSlow
from serving.console.console import PAGES
from serving.console.forms import Forms
from serving.console.live import MOST, Live
from serving.console.session import BACK
from tests.contract.client import archive, until
from tests.fakes import learning_loop
from tests.fakes.corpus import exchange
from tests.fakes.whole_system import System, whole_system

RULES = 'rules:\n  - id: no-legal\n    when: tenant == "t"\n    deny: Not here.\n'
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with keys and no engines' traffic."""
    scopes = {"app": ["inference"], "auditor": ["auditor"], "reviewer": ["reviewer"]}
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": "t", "scopes": found}
        for name, found in {**scopes, "ops": ["admin"]}.items()
    ]
    root = tmp_path_factory.mktemp("acting")
    with whole_system(root, {"auth": {"keys": keys}}, replicas=1) as found:
        yield found


@contextmanager
def logged_in(system: System, key: str) -> Iterator[httpx.Client]:
    """A browser that somebody has logged in with."""
    with httpx.Client(base_url=system.url, timeout=60, trust_env=False) as browser:
        browser.headers["origin"] = system.url
        assert browser.post("/console/login", data={"key": f"key-{key}"}).status_code == 303
        yield browser


@pytest.fixture(scope="module")
def ops(system: System) -> Iterator[httpx.Client]:
    """An administrator's browser."""
    with logged_in(system, "ops") as found:
        yield found


@pytest.fixture(scope="module")
def auditor(system: System) -> Iterator[httpx.Client]:
    """An auditor's browser."""
    with logged_in(system, "auditor") as found:
        yield found


def records(system: System) -> list[dict[str, Any]]:
    """What was done, oldest first."""
    headers = {"authorization": "Bearer key-ops"}
    answer = httpx.get(f"{system.url}/admin/v1/audit?limit=1000", headers=headers, timeout=60)
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_what_is_done_is_on_record_under_the_keys_name(system: System, ops: httpx.Client) -> None:
    """Rules that are put from the page are those that the API shows; one record, with the actor."""
    sent = ops.post("/console/policy", data={"do": "put", "source": RULES})
    assert (sent.status_code, sent.headers["location"]) == (303, "/console/policy?done=put")
    page = ops.get(sent.headers["location"]).text
    assert "The rules hold now." in page
    assert "no-legal" in page
    told = [each for each in records(system) if each["kind"] == "policy"]
    assert [(each["actor"], each["action"]) for each in told] == [("ops", "PUT /policy")]


def test_what_is_wrong_is_told_and_what_was_typed_is_kept(ops: httpx.Client) -> None:
    """With the API's own status and the line of each error."""
    source = f"rules:\n  - id: {HOSTILE}\n    whenever: never\n"
    answer = ops.post("/console/policy", data={"do": "put", "source": source})
    assert answer.status_code == 422
    assert "line " in answer.text
    assert "&lt;img src=x" in answer.text
    assert HOSTILE not in answer.text
    assert "whenever: never" in answer.text


@pytest.mark.parametrize("page", ["/policy", "/documents", "/adapters/x"])
def test_who_may_not_is_refused_as_the_api_would(auditor: httpx.Client, page: str) -> None:
    """An auditor sees no page that changes things, and cannot send its form either."""
    assert auditor.get(f"/console{page}").status_code == 403
    assert auditor.post(f"/console{page}", data={"do": "put"}).status_code == 403


def test_an_auditor_looks_at_erasures_and_asks_for_none(
    system: System, auditor: httpx.Client
) -> None:
    """There is no button, and a form from elsewhere is refused by the API."""
    assert "<button" not in auditor.get("/console/erasures").text.split("<main", 1)[1]
    answer = auditor.post("/console/erasures", data={"subject": "jane"})
    assert answer.status_code == 403
    assert "lacks the scope" in answer.text
    assert not [each for each in records(system) if each["kind"] == "erasure"]


def test_the_navigation_has_what_one_may_see(
    system: System, ops: httpx.Client, auditor: httpx.Client
) -> None:
    """And no other page."""
    assert ">Policy</a>" in ops.get("/console").text
    assert ">Policy</a>" not in auditor.get("/console").text
    assert ">Audit</a>" in auditor.get("/console").text
    for link in ("/console", "/console/decisions", "/console/audit", "/console/erasures"):
        assert f'href="{link}"' in auditor.get("/console").text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_a_form_of_another_site_does_nothing(
    system: System, ops: httpx.Client, origin: str
) -> None:
    """Whatever cookie comes along."""
    before = len(records(system))
    data = {"do": "rollback"}
    answer = ops.post("/console/policy", data=data, headers={"origin": origin})
    assert answer.status_code == 403
    assert len(records(system)) == before


ACTING = [page.path.replace("{", "").replace("}", "") for page in PAGES if page.act]


@pytest.mark.parametrize("path", ACTING)
def test_no_page_acts_for_another_site_or_for_nobody(
    system: System, ops: httpx.Client, path: str
) -> None:
    """Each of them: before the form is looked at."""
    url = f"{system.url}/console{path}"
    before = len(records(system))
    foreign = ops.post(url, data={"do": "x"}, headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    nobody = httpx.post(url, data={"do": "x"}, headers={"origin": system.url})
    assert nobody.headers["location"] == "/console/login"
    # What there is none of stays so; what no button does is not done.
    assert ops.post(url, data={"do": "x"}).status_code in {200, 400, 404, 422}
    assert len(records(system)) == before or path == "/erasures"


def test_a_form_is_bounded(ops: httpx.Client) -> None:
    """In bytes, by the page, and in fields."""
    large = ops.post("/console/erasures", data={"subject": "x" * 100_000})
    assert large.status_code == 413
    many = ops.post("/console/erasures", data={f"f{n}": "" for n in range(300)})
    assert many.status_code == 400
    assert ops.post("/console/policy", data={"do": "nothing"}).status_code == 400


async def test_a_form_that_does_not_arrive_holds_nobody_up() -> None:
    """Small forms, such as the login, wait for no others; a large one that stalls is given up."""

    async def stalled() -> dict[str, Any]:
        return await asyncio.Future[dict[str, Any]]()

    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": b"key=x", "more_body": False}

    forms = Forms(within_s=0.2)
    scope = {"type": "http", "method": "POST", "headers": []}
    large = [asyncio.create_task(forms.read(Request(scope, stalled), 10**6)) for _ in range(9)]
    small = asyncio.create_task(forms.read(Request(scope, stalled), 4096))
    await asyncio.sleep(0)
    fields, _ = await forms.read(Request(scope, whole), 4096)
    assert fields == {"key": "x"}
    ended = await asyncio.gather(*large, small, return_exceptions=True)
    assert {type(each) for each in ended} == {TooSlow}


def test_documents_are_added_searched_and_deleted(ops: httpx.Client) -> None:
    """As text and as a file; hostile texts stay texts."""
    text = {
        "do": "add",
        "title": HOSTILE,
        "text": f"Refunds take {HOSTILE} days.",
        "collection": "c",
    }
    assert ops.post("/console/documents", data=text).status_code == 303
    files = {"file": ("hours.md", b"# Hours\n\nWe open at nine.", "text/markdown")}
    sent = ops.post("/console/documents", files=files, data={"collection": "c"})
    assert sent.headers["location"] == "/console/documents?done=added"
    page = ops.get("/console/documents", params={"q": "refunds", "collection": "c"}).text
    assert HOSTILE not in page
    assert "Refunds take &lt;img" in page
    assert "hours.md" in page
    rows = httpx.get(
        f"{ops.base_url}/admin/v1/documents", headers={"authorization": "Bearer key-ops"}
    ).json()["data"]
    for row in rows:
        assert HOSTILE not in ops.get(f"/console/documents/{row['id']}").text
        data = {"do": "delete", "id": row["id"]}
        assert ops.post("/console/documents", data=data).headers["location"].endswith("=deleted")
    assert "No documents yet" in ops.get("/console/documents").text
    wrong = ops.post("/console/documents", files={"file": ("x.exe", b"MZ\x00", "application/x")})
    assert wrong.status_code == 415


def test_the_log_is_verified_proven_and_compared(auditor: httpx.Client) -> None:
    """By an auditor, who keeps a checkpoint and holds the log against it later."""
    assert "The log is whole." in auditor.get("/console/audit?verify=1").text
    page = auditor.get("/console/audit?kind=policy").text
    link = page.split('data-row href="', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    assert "RFC 6962" in auditor.get(link).text
    kept = httpx.get(
        f"{auditor.base_url}/admin/v1/audit/checkpoint",
        headers={"authorization": "Bearer key-auditor"},
    ).json()
    held = auditor.post("/console/audit", data={"kept": json.dumps(kept)})
    assert (held.status_code, "The log is whole." in held.text) == (200, True)
    other = {**kept, "root": "0" * 64}
    assert "not whole" in auditor.post("/console/audit", data={"kept": json.dumps(other)}).text
    for odd in ("nonsense", "[]", "[" * 5000, json.dumps({"subject_hash": 1})):
        assert "not whole" in auditor.post("/console/audit", data={"kept": odd}).text
    assert auditor.get("/console/audit?proof=x").status_code == 400


def test_an_erasure_is_asked_for_and_followed(ops: httpx.Client) -> None:
    """To its certificate, which does not name the person."""
    sent = ops.post("/console/erasures", data={"subject": "Jane Doe"})
    assert sent.status_code == 303
    page = ops.get(sent.headers["location"])
    for _ in range(200):
        if "Certificate" in page.text:
            break
        page = ops.get(sent.headers["location"])
    assert "Certificate" in page.text
    assert "Jane Doe" not in page.text


def test_pages_are_told_of_what_their_reader_may_know(
    system: System, ops: httpx.Client, auditor: httpx.Client
) -> None:
    """Kinds of events, no content; nobody who is not logged in."""
    assert httpx.get(f"{system.url}/console/events").status_code == 401
    with auditor.stream("GET", "/console/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        said = stream.iter_lines()
        next(said)
        ops.post("/console/policy", data={"do": "shadow", "source": RULES})
        ops.post("/console/erasures", data={"subject": "Somebody"})
        kinds = []
        for line in said:
            assert "Somebody" not in line
            if line.startswith("data: "):
                kinds.append(line.removeprefix("data: "))
            if "erasure" in kinds:
                break
    assert set(kinds) == {"policy", "erasure"}
    for _ in range(100):
        metrics = httpx.get(f"{system.url}/metrics", headers={"authorization": "Bearer key-ops"})
        if re.search(r"^graftwork_console_streams\S* 0\.0$", metrics.text, re.MULTILINE):
            break
    else:
        pytest.fail("the stream of a page that was closed goes on")


def test_so_many_pages_are_told_and_no_more() -> None:
    """Further ones are sent away, and ask by themselves."""
    live = Live([])
    live.open = MOST
    with pytest.raises(Overloaded):
        live.stream(LOCAL, "req_1", "")


def test_who_logs_in_goes_on_at_the_page_that_he_asked_for(system: System) -> None:
    """Once, and nowhere but in the console."""
    with httpx.Client(base_url=system.url, timeout=60, trust_env=False) as browser:
        browser.headers["origin"] = system.url
        sent = browser.get("/console/decisions?tenant=t&since=2026-01-01")
        assert (sent.status_code, sent.headers["location"]) == (303, "/console/login")
        login = {"key": "key-auditor"}
        assert browser.post("/console/login", data={"key": "wrong"}).status_code == 401
        sent = browser.post("/console/login", data=login)
        assert sent.headers["location"] == "/console/decisions?tenant=t&since=2026-01-01"
        assert browser.post("/console/login", data=login).headers["location"] == "/console"
    for elsewhere in ("//evil.example", "https://evil.example", "/../admin", "/a%0d%0ab: c", ""):
        cookie = {"origin": system.url, "cookie": f"{BACK}={quote(elsewhere, safe='')}"}
        sent = httpx.post(f"{system.url}/console/login", data=login, headers=cookie)
        assert urlsplit(sent.headers["location"]).netloc == ""
        assert sent.headers["location"].startswith("/console")
        assert ".." not in sent.headers["location"]


def test_what_is_accepted_is_what_was_seen(system: System) -> None:
    """Another answer may be in its place since: then it is looked for, or nothing is done."""
    loop = system.registry.flywheel
    asked = exchange("Does the lamp dim?", decision_id="dec_dim", response="It does.")
    found, _ = loop.exchanges.take(asked)
    other = Candidate("adapter:lamps@0123456789ab", "It dims to a tenth.")
    review = loop.reviews.open(found, "sampled", candidates=[other])
    with logged_in(system, "reviewer") as browser:
        seen = _buttons(browser.get(f"/console/reviews/{review}").text)
        loop.exchanges.signal("dec_dim", ["demonstration"], {"demonstrations": ["It never does."]})
        now = _buttons(browser.get(f"/console/reviews/{review}").text)
        assert (seen["Accept"], seen["Accept B"]) == (now["Accept"], now["Accept C"])
        gone = browser.post(f"/console/reviews/{review}", data={"do": "accept 0123456789abcdef"})
        assert (gone.status_code, "see them again" in gone.text) == (400, True)
        sent = browser.post(f"/console/reviews/{review}", data={"do": seen["Accept B"]})
        assert sent.status_code == 303
    assert loop.reviews.find(review).answer == "It dims to a tenth."


def _buttons(page: str) -> dict[str, str]:
    """What each accepts, by its label."""
    found = re.findall(r'<button name="do" value="(accept[^"]*)"[^>]*>([^<]*)</button>', page)
    return {label: value for value, label in found}


def test_what_is_gone_says_where_to_go_on(system: System, ops: httpx.Client) -> None:
    """An erased dataset names what is left of it; what there is none of leads to the list."""
    datasets = system.registry.flywheel.datasets
    rows = [
        learning_loop.row(number, subjects=("a" * 64,) if number < 3 else ())
        for number in range(12)
    ]
    old = datasets.take_in("gold", rows)
    page = ops.get(f"/console/datasets/{old.digest}")
    assert "human 12" in page.text
    [done] = datasets.without(["a" * 64])
    gone = ops.get(f"/console/datasets/{old.digest}")
    assert gone.status_code == 410
    assert f'<a href="/console/datasets/{done.rebuilt_as}">What is left of it</a>' in gone.text
    missing = ops.get("/console/reviews/rev_none")
    assert missing.status_code == 404
    assert '<a href="/console/reviews">Back to Reviews</a>' in missing.text
    assert '<a href="/console">Back to Overview</a>' in ops.get("/console/nothing").text


def _hidden(page: str, name: str) -> str:
    """What the forms of a page send along under a name; the same in all of them."""
    [found] = set(re.findall(rf'<input type="hidden" name="{name}" value="([^"]*)">', page))
    return str(found)


def test_rules_that_somebody_changed_meanwhile_are_not_overwritten_unseen(
    ops: httpx.Client,
) -> None:
    """What was typed stays, beside what holds by now; sent again, it holds."""
    seen = {"seen": _hidden(ops.get("/console/policy").text, "seen")}
    theirs = RULES.replace("no-legal", "of-somebody-else")
    assert ops.post("/console/policy", data={"do": "put", "source": theirs}).status_code == 303
    mine = RULES.replace("no-legal", "of-mine")
    for sent in ({"do": "put", "source": mine}, {"do": "rollback"}, {"do": "promote"}):
        answer = ops.post("/console/policy", data={**sent, **seen})
        assert answer.status_code == 409, sent
        assert "Somebody has changed the rules" in answer.text
    again = ops.post("/console/policy", data={"do": "put", "source": mine, **seen})
    assert "of-mine" in again.text
    assert "of-somebody-else" in again.text
    now = {"do": "put", "source": mine, "seen": _hidden(again.text, "seen")}
    assert ops.post("/console/policy", data=now).status_code == 303


def test_two_who_roll_back_do_not_bring_the_bad_one_back(system: System, ops: httpx.Client) -> None:
    """Both saw the same version live: the second is told that it is not any more."""
    headers = {"authorization": "Bearer key-ops"}
    path = f"{system.url}/admin/v1/adapters/doubly"
    sent = {**headers, "content-type": "application/gzip"}
    pushed = []
    for seed in (1, 2):
        answer = httpx.post(
            f"{path}/versions?wait=live", content=archive(seed), headers=sent, timeout=60
        )
        assert answer.status_code == 201, answer.text
        pushed.append(answer.json()["digest"])
    seen = {"do": "rollback", "live": _hidden(ops.get("/console/adapters/doubly").text, "live")}
    assert seen["live"] == pushed[-1]
    assert ops.post("/console/adapters/doubly", data=seen).status_code == 303
    late = ops.post("/console/adapters/doubly", data=seen)
    assert (late.status_code, "changed by somebody else" in late.text) == (409, True)
    assert httpx.get(path, headers=headers).json()["previous"] == seen["live"]


def test_a_pasted_name_is_erased_without_the_spaces_around_it(
    system: System, ops: httpx.Client
) -> None:
    """With them it would be another person, of whom there is nothing."""
    jane = Subjects(system.root / AUDIT).hash("Jane Roe")
    exchanges = system.registry.flywheel.exchanges
    found, _ = exchanges.take(exchange("Whose is it?", subjects=(jane,)))
    sent = ops.post("/console/erasures", data={"subject": "  Jane Roe \n"})
    until(lambda: "Certificate" in ops.get(sent.headers["location"]).text)
    assert exchanges.find(found) is None
