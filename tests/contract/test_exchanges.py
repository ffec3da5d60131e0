"""Exchanges: what is captured of whom, from which API, and what is not; all from outside."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.corpus.delivery import to_line
from router.admit.keys import hash_key
from router.capture.spool import Line, Spool
from tests.contract.client import (
    ADMIN,
    BODIES,
    Pushed,
    archive,
    chat,
    client,
    post_version,
    until,
)
from tests.contract.conftest import router_args
from tests.contract.test_erasures import erase, holding
from tests.fakes.corpus import exchange
from tests.fakes.engine_speech import Says
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

MAIL = "maria.planted@example.com"
FIELDS = {
    "id",
    "time",
    "state",
    "intent",
    "tenant",
    "target",
    "request",
    "response",
    "count",
    "session",
}
_MARKERS = itertools.count(1)
_SHARES = {"acme": 1.0, "none-*": 0.0}
_TENANTS = ("acme", "none-sampled", "silent", "unnamed")


@pytest.fixture(scope="module")
def capturing(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """A company with a tenant for each kind of consent."""
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": name, "scopes": ["inference"]}
        for name in _TENANTS
    ]
    keys += [
        {
            "name": "ops",
            "sha256": hash_key("key-ops"),
            "tenant": "acme",
            "scopes": ["inference", "admin"],
        },
        {"name": "auditor", "sha256": hash_key("key-auditor"), "scopes": ["auditor"]},
    ]
    tenants = {name: {"consent": True, "share": share} for name, share in _SHARES.items()}
    args = {
        **router_args(frontier),
        "auth": {"keys": keys},
        "capture": {"tenants": {**tenants, "silent": {"consent": False}}},
    }
    with whole_system(tmp_path_factory.mktemp("capturing"), args) as running:
        yield running


@pytest.fixture(scope="module")
def ops(capturing: System) -> Iterator[httpx.Client]:
    """Whoever runs it."""
    with client(capturing, "ops") as found:
        yield found


def rows(ops: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """Captured exchanges."""
    answer = ops.get(f"{ADMIN}/exchanges", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def kept(ops: httpx.Client, decision_id: str) -> dict[str, Any] | None:
    """The exchange of a decision, if it is there."""
    found = (row for row in rows(ops, limit=1000) if row["decision_id"] == decision_id)
    return next(found, None)


def captured(ops: httpx.Client, decision_id: str) -> dict[str, Any]:
    """The exchange of a decision, as soon as it is there."""
    return dict(until(lambda: kept(ops, decision_id), f"{decision_id} is not captured"))


def decision(answer: httpx.Response) -> str:
    """The id of an answer's decision."""
    assert answer.status_code == 200, answer.text
    return answer.headers["x-graftwork-decision-id"]


def settled(ops: httpx.Client) -> None:
    """Whatever was asked before is captured, if it is going to be: this was asked after it."""
    captured(ops, decision(chat(ops, "base", f"The marker {next(_MARKERS)}")))


def test_a_row_says_what_the_contract_says(capturing: System, ops: httpx.Client) -> None:
    """Fields, types, and the recognised intent of an answer of a named model."""
    with client(capturing, "acme") as app:
        answer = chat(
            app, "base", "Where is my refund?", headers={"x-graftwork-session": "session-1"}
        )
    row = captured(ops, decision(answer))
    assert row.keys() >= FIELDS
    assert row["state"] == "captured"
    assert row["intent"] == "returns"
    assert row["tenant"] == "acme"
    assert row["target"] == "base"
    assert row["request"] == {"messages": [{"role": "user", "content": "Where is my refund?"}]}
    assert row["response"] == answer.json()["choices"][0]["message"]["content"]
    assert row["count"] == 1
    assert row["session"] == "session-1"
    assert row["time"].startswith("20")
    assert ops.get(f"{ADMIN}/exchanges/{row['id']}").json() == row


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", BODIES)
def test_every_api_and_its_streams(
    capturing: System, ops: httpx.Client, endpoint: str, stream: bool
) -> None:
    """Messages in one shape, whichever dialect the client spoke."""
    told = f"Tell me of {endpoint[4:].replace('/', ' ')} as {'one' if not stream else 'pieces'}"
    body = json.loads(json.dumps(BODIES[endpoint]).replace("Hello", told))
    model = "claude/opus" if endpoint == "/v1/messages" else "cloud/big"
    with client(capturing, "acme") as app:
        if stream:
            body["stream"] = True
            with app.stream("POST", endpoint, json={**body, "model": model}) as answer:
                assert answer.status_code == 200
                answer.read()
            identity = answer.headers["x-graftwork-decision-id"]
        else:
            identity = decision(app.post(endpoint, json={**body, "model": model}))
    row = captured(ops, identity)
    assert row["request"]["messages"] == [{"role": "user", "content": told}]
    assert row["response"] == "Hello from the frontier."
    assert row["target"] == f"frontier:{model}"


@pytest.mark.parametrize(
    "again",
    ["is my  REFUND late", "Is my refund late?!", "\uff29s my refund late"],
)
def test_a_duplicate_raises_the_count(capturing: System, ops: httpx.Client, again: str) -> None:
    """Spelling is no difference, whatever was answered."""
    with client(capturing, "acme") as app:
        chat(app, "base", "Is my refund late?")
        settled(ops)
        chat(app, "cloud/big", again)
    settled(ops)
    found = [r for r in rows(ops) if "refund late" in r["request"]["messages"][0]["content"]]
    assert len(found) == 1
    assert found[0]["count"] >= 2


def test_numbers_make_a_difference(capturing: System, ops: httpx.Client) -> None:
    """Another order is another matter."""
    with client(capturing, "acme") as app:
        asked = [decision(chat(app, "base", f"Is the box {n} mine?")) for n in (17, 18)]
    for each in asked:
        captured(ops, each)


@pytest.mark.parametrize("key", ["silent", "unnamed"])
def test_nothing_is_kept_without_consent(capturing: System, ops: httpx.Client, key: str) -> None:
    """Who said no, and who said nothing; not even when feedback speaks for it."""
    with client(capturing, key) as app:
        asked = decision(chat(app, "base", "Nobody reads this"))
        said = {"decision_id": asked, "kind": "boolean", "value": False}
        assert app.post("/v1/feedback", json=said).status_code == 200
        said = {"decision_id": asked, "kind": "demonstration", "value": "Unkept words"}
        assert app.post("/v1/feedback", json=said).status_code == 200
    settled(ops)
    assert kept(ops, asked) is None
    assert "Unkept words" not in json.dumps(rows(ops, limit=1000))


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {"x-graftwork-no-capture": "true"}},
        {"graftwork": {"no_capture": True}},
    ],
)
def test_no_capture_excludes_storage(
    capturing: System, ops: httpx.Client, how: dict[str, Any]
) -> None:
    """By header or in the body; feedback changes nothing."""
    with client(capturing, "acme") as app:
        asked = decision(chat(app, "base", "Do not keep this", **how))
        said = {"decision_id": asked, "kind": "demonstration", "value": "Unkept words"}
        assert app.post("/v1/feedback", json=said).status_code == 200
    settled(ops)
    assert kept(ops, asked) is None
    assert "Unkept words" not in json.dumps(rows(ops, limit=1000))


@pytest.mark.parametrize("wrong", ["yes", 1, "false-ish"])
def test_no_capture_is_a_boolean(capturing: System, wrong: Any) -> None:
    """A client that meant it must not learn that it was not understood."""
    with client(capturing, "acme") as app:
        answer = chat(app, "base", "Hello", graftwork={"no_capture": wrong})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "graftwork.no_capture"


def test_of_what_is_not_sampled_feedback_has_it_kept(capturing: System, ops: httpx.Client) -> None:
    """A share of none: only what something speaks for."""
    with client(capturing, "none-sampled") as app:
        plain = decision(chat(app, "base", "Nothing speaks for this"))
        poor = decision(chat(app, "base", "The answer to this was poor"))
        shown = decision(chat(app, "base", "Somebody knows better"))
        low = decision(chat(app, "base", "Somebody gave this a low mark"))
        for identity, kind, value in (
            (poor, "boolean", False),
            (shown, "demonstration", f"So it should be, says {MAIL}"),
            (low, "float", 0.1),
            (plain, "float", 0.9),
        ):
            said = {"decision_id": identity, "kind": kind, "value": value}
            assert app.post("/v1/feedback", json=said).status_code == 200
    found = {each: captured(ops, each) for each in (poor, low, shown)}
    assert "negative_feedback" in found[poor]["signals"]
    settled(ops)
    row = captured(ops, shown)
    assert row["details"]["demonstrations"] == [
        {"answer": "So it should be, says [EMAIL_1]", "by": "none-sampled"}
    ]
    assert kept(ops, plain) is None


def test_planted_values_are_in_no_file(capturing: System, ops: httpx.Client) -> None:
    """Law 6: one placeholder for one value, in the request and in the answer."""
    card = "4111111111111111"
    with client(capturing, "acme") as app:
        answer = chat(app, "cloud/big", f"say Write to {MAIL} about {card}, {MAIL} again")
    assert MAIL in answer.text  # the client gets its own values back
    row = captured(ops, decision(answer))
    said = "Write to [EMAIL_1] about [CREDIT_CARD_1], [EMAIL_1] again"
    assert row["request"]["messages"][0]["content"] == f"say {said}"
    assert row["response"] == said
    assert holding(capturing.root, MAIL, card) == []


@pytest.mark.parametrize(
    "way",
    [
        {"user": "person-1"},
        {"safety_identifier": "person-2"},
        {"headers": {"x-graftwork-subject": "person-3"}},
        {"graftwork": {"subject": "person-4"}},
    ],
)
def test_a_person_is_found_and_erased(
    capturing: System, ops: httpx.Client, way: dict[str, Any]
) -> None:
    """By whichever name the request gave, and nobody else; the name is in no file."""
    name = next(
        value
        for value in [
            *way.values(),
            *way.get("headers", {}).values(),
            *way.get("graftwork", {}).values(),
        ]
        if isinstance(value, str)
    )
    with client(capturing, "acme") as app:
        mine = decision(chat(app, "base", f"I am {name}, and asked this", **way))
        theirs = decision(chat(app, "base", f"I know of no person like {len(name)}{name[-1]}"))
    captured(ops, theirs)
    captured(ops, mine)
    found = rows(ops, subject=name)
    assert [row["decision_id"] for row in found] == [mine]
    assert name not in json.dumps(found)
    done = erase(ops, name)
    assert done["found"]["exchanges"] == 1
    assert rows(ops, subject=name) == []
    assert kept(ops, theirs) is not None
    assert holding(capturing.root, name) == []


def test_lists_are_paged_and_narrowed(capturing: System, ops: httpx.Client) -> None:
    """Each row once, the newest first."""
    settled(ops)
    everything = [row["id"] for row in rows(ops, limit=1000)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        page = ops.get(f"{ADMIN}/exchanges", params=query).json()
        assert page["object"] == "list"
        seen += [row["id"] for row in page["data"]]
        cursor = page["next"]
    assert seen == everything
    assert {row["intent"] for row in rows(ops, intent="returns", limit=1000)} <= {"returns"}
    assert rows(ops, state="gold") == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"state": "lost"}, "state"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "%%%"}, "cursor"),
        ({"cursor": "YWJj"}, "cursor"),
    ],
)
def test_bad_queries_are_named(ops: httpx.Client, query: dict[str, str], param: str) -> None:
    """With the parameter."""
    answer = ops.get(f"{ADMIN}/exchanges", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_who_may_not_look_does_not(capturing: System, ops: httpx.Client) -> None:
    """And what is not there is said to be so."""
    for key in ("auditor", "acme"):
        with client(capturing, key) as other:
            assert other.get(f"{ADMIN}/exchanges").status_code == 403
    assert ops.get(f"{ADMIN}/exchanges/exc_nothing").status_code == 404


def test_events_tell_of_each(capturing: System, ops: httpx.Client) -> None:
    """``exchange``, with id and state."""
    with ops.stream("GET", f"{ADMIN}/events", params={"after": 0}) as stream:
        asked = decision(chat(ops, "base", "Does anybody hear of this?"))
        row = captured(ops, asked)
        kind = ""
        for line in stream.iter_lines():
            name, _, data = line.partition(": ")
            kind = data if name == "event" else kind
            if kind == "exchange" and name == "data" and json.loads(data)["id"] == row["id"]:
                assert json.loads(data)["state"] == "captured"
                break


def test_without_keys_the_operator_has_consented(keyless: System) -> None:
    """Whoever runs it on a laptop is the only one that it serves."""
    with client(keyless) as http:
        asked = decision(chat(http, "base", "Just me here"))
        captured(http, asked)


def test_near_duplicates_are_one_and_other_products_are_not(
    capturing: System, ops: httpx.Client
) -> None:
    """Courtesy and a slip; a product, a number, a name."""
    first = "How do I return a pair of running shoes to France within 14 days?"
    same = "Hello, how can I retrun a pair of running shoes to France within 14 days please"
    others = [
        first.replace("shoes", "boots"),
        first.replace("14", "15"),
        first.replace("France", "Spain"),
    ]
    with client(capturing, "acme") as app:
        for text in (first, same, *others):
            chat(app, "base", text)
    settled(ops)
    found = {
        row["request"]["messages"][0]["content"]: row["count"]
        for row in rows(ops, limit=1000)
        if "within 1" in row["request"]["messages"][0]["content"]
    }
    assert found == {first: 2, **dict.fromkeys(others, 1)}


def test_a_shadow_that_answers_otherwise_is_kept_beside(
    capturing: System, ops: httpx.Client
) -> None:
    """Where nothing else spoke for it; who said no is compared all the same, and not kept."""
    answer = post_version(ops, "shady", archive(3), "wait=live&stage=live")
    assert answer.status_code == 201, answer.text
    answer = post_version(ops, "shady", archive(4), "wait=live&stage=shadow&percent=100")
    candidate = Pushed("shady", answer.json()["digest"])
    assert answer.json()["state"] == "shadow"
    for engine in capturing.engines.values():
        engine.says[candidate.name] = Says("Something else entirely was said by me")
    with client(capturing, "none-sampled") as app:
        silent = decision(
            chat(app, "shady", "Say it quietly", headers={"x-graftwork-no-capture": "true"})
        )
        until(lambda: candidate.name in capturing.asked())
        told = decision(chat(app, "shady", "Say it aloud"))
    row = until(lambda: (it := captured(ops, told))["details"].get("answers") and it)
    assert "shadow_differs" in row["signals"]
    assert row["details"]["answers"] == [
        {
            "target": f"adapter:{candidate.name}",
            "response": "Something else entirely was said by me",
        }
    ]
    settled(ops)
    assert kept(ops, silent) is None


def test_a_shadow_that_calls_otherwise_is_kept_beside(capturing: System, ops: httpx.Client) -> None:
    """Calls of tools are the same, in whatever spelling, or are not: silence is no agreement."""
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    answer = post_version(ops, "caller", archive(5), "wait=live&stage=live")
    live = Pushed("caller", answer.json()["digest"])
    answer = post_version(ops, "caller", archive(6), "wait=live&stage=shadow&percent=100")
    candidate = Pushed("caller", answer.json()["digest"])

    def asked(text: str, arguments: str) -> str:
        before = capturing.asked().count(candidate.name)
        for engine in capturing.engines.values():
            engine.says[live.name] = Says(calls=(("find", '{"id":1}'),))
            engine.says[candidate.name] = Says(calls=(("find", arguments),))
        with client(capturing, "none-sampled") as app:
            told = decision(chat(app, "caller", text, tools=[tool]))
        until(lambda: capturing.asked().count(candidate.name) > before)
        return told

    same = asked("Find the very same", '{ "id": 1 }')
    other = asked("Find another one", '{"id": 2}')
    row = until(lambda: (it := captured(ops, other))["details"].get("answers") and it)
    assert "shadow_differs" in row["signals"]
    call = {"type": "function", "function": {"name": "find", "arguments": '{"id":2}'}}
    [beside] = row["details"]["answers"]
    assert json.loads(beside["response"]) == [call]
    settled(ops)
    assert kept(ops, same) is None


def test_what_a_killed_router_left_on_the_disk_arrives(tmp_path: Path) -> None:
    """Another process of its machine takes it over."""
    spool = Spool(tmp_path / "capture", "router-dead", 2**20)
    left = [exchange(f"Left {n}?", decision_id=f"dec_left_{n}") for n in range(3)]
    spool.add([Line(to_line(each), urgent=False) for each in left])
    spool.close()
    with whole_system(tmp_path, replicas=1) as system, client(system) as http:
        for each in left:
            captured(http, each.decision_id)
        until(lambda: not any((tmp_path / "capture").rglob("*.jsonl")))
