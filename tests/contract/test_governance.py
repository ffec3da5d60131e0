"""What must not leave does not leave: seen from the client, the provider and the disk (law 6)."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from router.admit.keys import hash_key
from tests.contract.client import (
    ADMIN,
    BODIES,
    Pushed,
    chat,
    client,
    error_of,
    lines,
    put_rules,
    said,
)
from tests.contract.conftest import router_args
from tests.fakes.engine_speech import Says
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.tiny_adapter import BASE
from tests.fakes.whole_system import System, whole_system

MAIL, IBAN, CARD = "maria.planted@example.com", "DE89370400440532013000", "4111111111111111"
PHONE = "+44 20 7946 0958"
PLANTED = (MAIL, IBAN, CARD, PHONE)
TEXT = f"Write to {MAIL} or {PHONE}, {MAIL} again, about {IBAN} and card {CARD}."
SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
BIG, OPUS = "cloud/big", "claude/opus"
FRONTIERS = {
    "/v1/chat/completions": BIG,
    "/v1/completions": BIG,
    "/v1/responses": BIG,
    "/v1/messages": OPUS,
}
RULES: list[dict[str, Any]] = [
    {"tenants": ["masking"], "entities": ["EMAIL"], "action": "mask"},
    {"tenants": ["hashing"], "targets": ["frontier"], "action": "hash"},
    {"tenants": ["blocking"], "entities": ["IBAN"], "targets": ["frontier:cloud/*"],
     "action": "block"},
    {"tenants": ["open"], "action": "allow"},
    {"tenants": ["open"], "entities": ["SECRET"], "targets": ["local"], "action": "allow"},
    {"tenants": ["closed"], "targets": ["local"], "action": "vault"},
]  # fmt: skip
TENANTS = ("masking", "hashing", "blocking", "open", "closed", "cached")


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """Keyless, with a tenant for each rule: each has a key."""
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": name, "scopes": ["inference"]}
        for name in TENANTS
    ]
    args = {
        **router_args(frontier),
        "auth": {"keys": keys},
        "governance": {"pii": {"rules": RULES, "max_chars": 5000}, "safety": {"enabled": False}},
        "cache": {"enabled": True},
    }
    with whole_system(tmp_path_factory.mktemp("ruled"), args) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "ruled" in request.fixturenames:
        request.getfixturevalue("ruled").forget()


def ask(http: httpx.Client, path: str, text: str, **more: Any) -> httpx.Response:
    """The same in any dialect."""
    body = dict(BODIES[path], max_tokens=200) | more
    body.pop("max_tokens" if path == "/v1/responses" else "", None)
    if "messages" in body:
        body["messages"] = [{"role": "user", "content": text}]
    else:
        body["prompt" if "prompt" in body else "input"] = text
    body["max_output_tokens" if path == "/v1/responses" else "max_tokens"] = 200
    return http.post(path, json={"model": FRONTIERS[path], **body})


def spoken(answer: httpx.Response) -> str:
    """What a client reads, whole or streamed."""
    assert answer.status_code == 200, answer.text
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return json.dumps(answer.json(), ensure_ascii=False)
    found = ""
    for line in lines(answer.content):
        if not line.data or line.data == "[DONE]":
            continue
        event = line.json()
        if event.get("type") == "content_block_delta":
            found += event["delta"]["text"]
        if event.get("type") == "response.output_text.delta":
            found += event["delta"]
        for choice in event.get("choices", []):
            found += choice.get("text") or choice.get("delta", {}).get("content") or ""
    return found


def received(frontier: FakeFrontier) -> bytes:
    """Everything that providers got: bodies and headers."""
    return b"\n".join(
        each.raw + orjson.dumps(each.headers) + each.path.encode() for each in frontier.requests
    )


def on_disk(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of the state."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", FRONTIERS)
def test_a_frontier_never_sees_what_the_client_gets_back(
    app: httpx.Client, frontier: FakeFrontier, path: str, stream: bool
) -> None:
    """By default, in every dialect; the headers say what was kept back, the record too."""
    answer = ask(app, path, f"say {TEXT}", stream=stream)
    assert spoken(answer).count(MAIL) >= 2
    assert all(value in spoken(answer) for value in PLANTED)
    assert answer.headers["x-graftwork-redacted"] == "CREDIT_CARD=1,EMAIL=1,IBAN=1,PHONE=1"
    sent = received(frontier)
    assert len(frontier.requests) == 1
    assert not [value for value in PLANTED if value.encode() in sent]
    if stream:
        comment = next(x.comment for x in lines(answer.content) if x.comment)
        assert json.loads(comment.removeprefix("graftwork "))["redacted"]["EMAIL"] == 1


WORDS = (*PLANTED, "[EMAIL_1]", "email 1", "<IBAN-2>", "the", "PHONE_1", "é😀", "[", '"\\', "_1]")
SIGNS = 'ab[]<>_\\"{}é'


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_said_comes_back_and_nothing_that_was_planted_left(
    ruled: System, frontier: FakeFrontier, seed: int
) -> None:
    """Random texts, values, dialects and cuts, through the whole system: what is echoed is x."""
    dice = random.Random(seed)
    signs = "".join(dice.choices(SIGNS, k=4))
    text = " ".join(dice.choice((*WORDS, signs)) for _ in range(dice.randint(1, 12)))
    stream, frontier.piece_chars = seed % 3 > 0, dice.choice([None, 1, 1, 2, 3, 7])
    try:
        with client(ruled, "cached") as http:
            answer = ask(http, dice.choice(sorted(FRONTIERS)), f"say {text}", stream=stream)
    finally:
        frontier.piece_chars = None
    wanted = text if stream else json.dumps(text, ensure_ascii=False)[1:-1]
    assert wanted in spoken(answer)
    assert not [value for value in PLANTED if value.encode() in received(frontier)]


def test_equal_values_are_equal_and_the_next_turn_has_the_same_names(
    app: httpx.Client, frontier: FakeFrontier
) -> None:
    """A client sends the conversation again, with more at its end."""
    first = {"role": "user", "content": f"say {TEXT}"}
    chat(app, BIG, messages=[first])
    more = [first, {"role": "assistant", "content": TEXT}, {"role": "user", "content": "say ok"}]
    chat(app, BIG, messages=more)
    one, two = (request.body["messages"][0]["content"] for request in frontier.requests)
    assert one == two
    assert frontier.requests[1].body["messages"][1]["content"] == one.removeprefix("say ")


def test_who_serves_locally_sees_the_plain_text(app: httpx.Client, keyed: System) -> None:
    """And nothing is looked for in vain: no header either."""
    answer = chat(app, BASE.base_id, TEXT)
    assert "x-graftwork-redacted" not in answer.headers
    bodies = [b for e in keyed.engines.values() for _, b in e.requests if "messages" in b]
    assert bodies[0]["messages"][0]["content"] == TEXT


@pytest.mark.parametrize("path", FRONTIERS)
@pytest.mark.parametrize("where", ["frontier", "base"])
def test_a_secret_leaves_for_nobody_and_is_not_repeated(
    app: httpx.Client, keyed: System, frontier: FakeFrontier, path: str, where: str
) -> None:
    """422, whoever is asked; not to a local model, not into the answer, not onto the disk."""
    model = FRONTIERS[path] if where == "frontier" else BASE.base_id
    answer = ask(app, path, f"Why is {SECRET} refused?", model=model)
    assert (answer.status_code, error_of(answer)["code"]) == (422, "secret_blocked")
    assert SECRET not in answer.text
    assert SECRET not in str(answer.headers)
    assert not frontier.requests
    assert not keyed.asked()


@pytest.mark.parametrize("path", FRONTIERS)
def test_a_model_that_rewrites_a_placeholder_is_understood(
    app: httpx.Client, frontier: FakeFrontier, path: str
) -> None:
    """Small models change case, spaces and brackets."""
    usual, frontier.text = frontier.text, "To <email-1> , [ iban 1 ] and EMAIL_1; not [email 2]."
    try:
        for stream in (False, True):
            answer = ask(app, path, f"{MAIL} has {IBAN}", stream=stream)
            assert f"To {MAIL} , {IBAN} and {MAIL}; not [email 2]." in spoken(answer)
    finally:
        frontier.text = usual


def test_what_a_client_typed_itself_is_never_restored(
    app: httpx.Client, frontier: FakeFrontier
) -> None:
    """Whatever it looks like."""
    typed = f"say [EMAIL_1] and Email 2 and <EMAIL_3> are not {MAIL}"
    assert said(chat(app, BIG, typed)) == typed.removeprefix("say ")
    assert MAIL.encode() not in received(frontier)


def test_everything_that_a_body_says_is_kept_back(
    app: httpx.Client, frontier: FakeFrontier
) -> None:
    """Every role, tools, results with JSON in strings and numbers, names, identities, metadata."""
    arguments = json.dumps({"to": MAIL, "card": int(CARD), MAIL: [IBAN]})
    call = {"id": "c", "type": "function", "function": {"name": "pay", "arguments": arguments}}
    note = base64.b64encode(f"Ask {MAIL} about {IBAN}.".encode()).decode()
    data = f"data:text/plain;base64,{note}"
    file = {"type": "file", "file": {"filename": f"{MAIL}.txt", "file_data": data}}
    tool = {"type": "function", "function": {"name": "pay", "description": f"Pays {IBAN}"}}
    body = {
        "messages": [
            {"role": "system", "content": f"You work for {MAIL}."},
            {"role": "user", "content": [{"type": "text", "text": TEXT}, file], "name": MAIL},
            {"role": "assistant", "content": None, "tool_calls": [call], "refusal": MAIL},
            {"role": "tool", "tool_call_id": "c", "content": json.dumps({"sent": {"to": MAIL}})},
            {"role": "user", "content": "Thanks."},
        ],
        "tools": [tool],
        "stop": [MAIL],
        "metadata": {"customer": MAIL},
        "user": MAIL,
        "safety_identifier": f"customer {PHONE}",
        "prompt_cache_key": MAIL,
        "a_field_of_tomorrow": {"note": [MAIL]},
    }
    answer = app.post("/v1/chat/completions", json={"model": BIG, **body})
    assert answer.status_code == 200, answer.text
    sent = received(frontier)
    assert not [value for value in PLANTED if value.encode() in sent]
    got = frontier.requests[0].body
    assert got["messages"][1]["name"].startswith("EMAIL_")
    assert json.loads(got["messages"][2]["tool_calls"][0]["function"]["arguments"])["to"]
    assert got["user"].startswith("id_")
    sent_file = got["messages"][1]["content"][1]["file"]["file_data"].partition(",")[2]
    assert base64.b64decode(sent_file) == b"Ask [EMAIL_1] about [IBAN_1]."


def test_a_fallback_obeys_the_rules_of_its_own_target(
    app: httpx.Client, keyed: System, frontier: FakeFrontier
) -> None:
    """The base saw the plain text and failed; the frontier that answers in its place does not."""
    for engine in keyed.engines.values():
        engine.says[BASE.base_id] = Says("", status=500)
    answer = chat(app, "auto", f"say {TEXT}")
    assert answer.headers["x-graftwork-target"] == f"frontier:{BIG}"
    assert said(answer) == TEXT
    assert not [value for value in PLANTED if value.encode() in received(frontier)]


@pytest.mark.parametrize("path", FRONTIERS)
def test_an_error_that_echoes_the_prompt_has_the_clients_words(
    app: httpx.Client, frontier: FakeFrontier, path: str
) -> None:
    """The provider repeats what it got, which is not what the client sent."""
    frontier.misbehave(Fault(Kind.STATUS, status=400, message="cannot read 'to [EMAIL_1]'"))
    answer = ask(app, path, TEXT)
    assert answer.status_code == 400
    assert error_of(answer)["message"] == f"cannot read 'to {MAIL}'"


def test_nothing_that_was_planted_is_on_the_disk_in_metrics_or_in_logs(
    app: httpx.Client,
    ops: httpx.Client,
    keyed: System,
    frontier: FakeFrontier,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in records, payloads, indexes and databases; whoever was asked, answered or refused."""
    frontier.misbehave(Fault(Kind.STATUS, status=400, message=f"echo {MAIL}"))
    for path in FRONTIERS:
        for stream in (False, True):
            ask(app, path, f"say {TEXT}", stream=stream)
            ask(app, path, f"say {TEXT}", stream=stream, model=BASE.base_id)
            ask(app, path, f"say {SECRET}", stream=stream)
    chat(app, MAIL, "Hello")  # a model that nobody has
    nowhere = {"x-graftwork-context": MAIL, "x-graftwork-fallbacks": f"{BASE.base_id},{MAIL}"}
    chat(app, BASE.base_id, "Hello", headers=nowhere)
    assert ops.delete(f"{ADMIN}/documents/{MAIL}").status_code == 404
    assert ops.post(f"{ADMIN}/adapters/{MAIL}/rollback", json={}).status_code >= 400
    typed = {"text": "Hello", "id": CARD}
    assert ops.post(f"{ADMIN}/documents", json=typed).status_code == 400
    told = {"x-graftwork-session": MAIL, "x-graftwork-subject": MAIL}
    answer = chat(app, BIG, TEXT, headers=told)
    seen = ops.get("/metrics").text
    assert re.search(r'graftwork_redactions_total\{.*action="vault",entity="EMAIL"\} \d', seen)
    record = ops.get(f"{ADMIN}/decisions/{answer.headers['x-graftwork-decision-id']}")
    assert record.json()["redacted"][f"frontier:{BIG}"]["EMAIL"] == {"vault": 1}
    out, err = capfd.readouterr()
    everything = {
        "metrics": seen,
        "record": record.text,
        "decisions": ops.get(f"{ADMIN}/decisions?limit=1000").text,
        "logs": "\n".join(  # of the server, not of the test's own client
            each.getMessage() for each in caplog.records if not each.name.startswith("http")
        ),
        "stdout": out,
        "stderr": err,
    }
    for name, text in everything.items():
        assert not [value for value in (*PLANTED, SECRET) if value in text], name
    found = [
        (str(path), value)
        for path, content in on_disk(keyed.root)
        for value in (*PLANTED, SECRET)
        if value.encode() in content
    ]
    assert not found


def test_rules_mask_hash_and_allow_by_tenant_and_target(
    ruled: System, frontier: FakeFrontier
) -> None:
    """What is masked or hashed does not come back; a digest is the same each time."""
    with client(ruled, "masking") as http:
        assert said(chat(http, BIG, f"say {MAIL} {IBAN}")) == f"[EMAIL] {IBAN}"
    with client(ruled, "hashing") as http:
        one, two = (said(chat(http, BIG, f"say {MAIL}")) for _ in range(2))
        assert one == two
        assert one.startswith("EMAIL-")
    assert not [value for value in PLANTED if value.encode() in received(frontier)]
    with client(ruled, "open") as http:
        answer = chat(http, BIG, f"say {MAIL}")
        assert "x-graftwork-redacted" not in answer.headers
        assert MAIL.encode() in received(frontier)


def test_a_rule_may_let_secrets_go_where_it_names_them(
    ruled: System, frontier: FakeFrontier
) -> None:
    """To local targets only: the frontier is struck out, and named alone it is a 422."""
    text = f"Is {SECRET} still a valid key?"
    with client(ruled, "open") as http:
        assert chat(http, BASE.base_id, text).status_code == 200
        assert chat(http, "auto", text).headers["x-graftwork-target"] == "base"
        answer = chat(http, BIG, text)
    assert (answer.status_code, error_of(answer)["code"]) == (422, "secret_blocked")
    assert not frontier.requests


def test_what_a_rule_blocks_is_not_routed_around_but_others_may_answer(
    ruled: System, frontier: FakeFrontier
) -> None:
    """The frontier is refused by name; for `auto` a local target is left; the record says why."""
    with client(ruled, "blocking") as http:
        answer = chat(http, BIG, f"say {IBAN}")
        assert (answer.status_code, error_of(answer)["code"]) == (403, "policy_denied")
        assert IBAN not in answer.text
        assert chat(http, "auto", f"say {IBAN}").headers["x-graftwork-target"] == "base"
        for engine in ruled.engines.values():
            engine.says[BASE.base_id] = Says("", status=500)
        assert chat(http, "auto", f"say {IBAN}").status_code >= 500
        asked = {"model": "auto", "messages": [{"role": "user", "content": IBAN}]}
        decision = http.post("/v1/decision", json=asked).json()
    assert not frontier.requests
    out = next(each for each in decision["candidates"] if each["target"] == f"frontier:{BIG}")
    assert (out["allowed"], out["code"]) == (False, "withheld")


def test_a_local_target_can_be_kept_from_it_as_well(ruled: System) -> None:
    """Where a rule says so."""
    with client(ruled, "closed") as http:
        answer = chat(http, BASE.base_id, f"say {MAIL}")
    assert answer.headers["x-graftwork-redacted"] == "EMAIL=1"
    bodies = [b for e in ruled.engines.values() for _, b in e.requests if "messages" in b]
    assert bodies[0]["messages"][0]["content"] == "say [EMAIL_1]"


def test_what_cannot_be_searched_is_refused_and_no_provider_called(
    ruled: System, frontier: FakeFrontier
) -> None:
    """Fail closed: 503 with the time after which to come again."""
    with client(ruled, "cached") as http:
        answer = chat(http, BIG, "x" * 6000)
    assert (answer.status_code, error_of(answer)["code"]) == (503, "guard_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert not frontier.requests
    assert not ruled.asked()


def test_an_answer_with_values_in_it_is_not_kept_in_the_cache(
    ruled: System, frontier: FakeFrontier
) -> None:
    """The same question without any is."""
    with client(ruled, "cached") as http:
        for text, calls in ((f"say {MAIL}", 2), ("say hello", 1)):
            frontier.forget()
            for _ in range(2):
                assert said(chat(http, BIG, text, temperature=0)) == text.removeprefix("say ")
            assert len(frontier.requests) == calls


def test_a_prompt_of_token_ids_goes_to_nobody_who_may_not_see_everything(
    app: httpx.Client, frontier: FakeFrontier, returns: Pushed
) -> None:
    """Nobody can look into numbers."""
    answer = app.post("/v1/completions", json={"model": BIG, "prompt": [1, 2, 3]})
    assert answer.status_code == 400, answer.text
    assert not frontier.requests


def test_feedback_is_kept_without_what_must_not_be(
    app: httpx.Client, ops: httpx.Client, keyed: System
) -> None:
    """Comments and demonstrations outlive their request, and models learn from them."""
    decision = chat(app, BASE.base_id, "hello").headers["x-graftwork-decision-id"]
    told = {"messages": [{"role": "assistant", "content": f"to {MAIL}"}], "key": SECRET}
    for kind, value in (("comment", f"ask {MAIL}, {SECRET}"), ("demonstration", told)):
        body = {"decision_id": decision, "kind": kind, "value": value}
        assert app.post("/v1/feedback", json=body).status_code == 200
    found = ops.get(f"{ADMIN}/decisions/{decision}").text
    assert "ask [EMAIL], [SECRET]" in found
    assert "to [EMAIL]" in found
    for path, content in on_disk(keyed.root):
        assert MAIL.encode() not in content, path
        assert SECRET.encode() not in content, path


def test_a_rule_may_ask_what_kinds_of_data_a_request_has(
    app: httpx.Client, ops: httpx.Client, frontier: FakeFrontier
) -> None:
    """Business rules see kinds, never values."""
    rules = "rules:\n  - id: no-banking\n    when: '\"IBAN\" in entities'\n    deny: No accounts.\n"
    try:
        put_rules(ops, rules)
        answer = chat(app, BIG, f"pay to {IBAN}")
        assert (answer.status_code, error_of(answer)["code"]) == (403, "policy_denied")
        assert chat(app, BIG, f"write to {MAIL}").status_code == 200
    finally:
        put_rules(ops, "rules: []")
    assert chat(app, BIG, f"pay to {IBAN}").status_code == 200


def test_a_guard_model_sees_what_its_provider_may_see(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """It is asked about the prompt before anybody else is, and is a frontier like any other."""
    safety = {"guard": {"provider": "cloud", "model": "guard"}}
    args = {**router_args(frontier), "governance": {"safety": safety}}
    with whole_system(tmp_path, args) as system, client(system) as http:
        usual, frontier.text = frontier.text, "safe"
        try:
            chat(http, BASE.base_id, f"Please write to {MAIL} about {IBAN}.")
        finally:
            frontier.text = usual
    assert frontier.requests
    assert not [value for value in PLANTED if value.encode() in received(frontier)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", FRONTIERS)
def test_who_somebody_is_stays_here_and_what_is_asked_about_the_world_does_not(
    app: httpx.Client, frontier: FakeFrontier, path: str, stream: bool
) -> None:
    """Names and addresses, which only the sentence gives away, are vaulted; France is France."""
    told = "My name is Maria Schmidt and I live at 12 Baker Street, London NW1 6XE."
    text = f"{told} What is the capital of France?"
    answer = ask(app, path, f"say {text}", stream=stream)
    assert text in spoken(answer)
    assert "PERSON=1" in answer.headers["x-graftwork-redacted"]
    sent = received(frontier).decode()
    assert not [value for value in ("Maria", "Schmidt", "Baker") if value in sent]
    assert "What is the capital of France?" in sent


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("You are Claude Code, Anthropic's official CLI for Claude.", None),
        ("You are Codex, a coding agent based on GPT-5.", None),
        ("You are ChatGPT, a large language model trained by OpenAI.", None),
        ("You are Cline, a highly skilled software engineer.", None),
        ("My doctor is Claude Martin.", "My doctor is [PERSON_1]."),
        ("My lawyer is Patsy Cline from Berlin.", "My lawyer is [PERSON_1] from Berlin."),
    ],
)
def test_assistants_are_nobody(
    app: httpx.Client, frontier: FakeFrontier, text: str, sent: str | None
) -> None:
    """An agent's own name reaches the model; persons of the same name do not."""
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "Hello"}]
    answer = chat(app, "cloud/big", messages=messages)
    assert answer.status_code == 200, answer.text
    assert frontier.requests[-1].body["messages"][0]["content"] == (sent or text)
