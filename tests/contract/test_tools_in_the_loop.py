"""Conversations with tools, from what was answered to what is trained and tested, from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.format.manifest import digest_directory
from tests.contract.client import ADMIN, archive, chat, client, post_version, until
from tests.contract.conftest import router_args
from tests.contract.test_datasets import DATASETS, LINES, question
from tests.contract.test_gates import settled
from tests.fakes.engine_speech import Says
from tests.fakes.frontier import FakeFrontier
from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import System, whole_system

NUMBERS = range(64)
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "looks an order up",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
    },
}
CALL = {"name": "look_up", "arguments": '{"id":"x"}'}
_GATE = {"margin": 0.2, "alpha": 0.05, "min_power": 0.8}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """Everybody consents; versions that learn orders are gated."""
    router = router_args(frontier)
    router["auto"]["intents"] = [
        {"name": name, "keywords": [name]} for name in ("orders", "hosted", "rest")
    ]
    router["capture"] = {"tenants": {"default": {"consent": True, "share": 1.0}}}
    route = {"alias": "orders", "gate": _GATE}
    with whole_system(
        tmp_path_factory.mktemp("tools"), router, flywheel={"routes": {"orders": route}}, replicas=1
    ) as running:
        yield running


@pytest.fixture(scope="module")
def http(system: System) -> Iterator[httpx.Client]:
    """Everybody: without keys each may do all."""
    with client(system) as found:
        yield found


@pytest.fixture(scope="module")
def dataset(http: httpx.Client) -> dict[str, Any]:
    """Calls that a frontier made, all accepted, half of them held out."""
    for number in NUMBERS:
        answer = chat(http, "cloud/big", f"Where are my orders {question(number)}?", tools=[TOOL])
        assert answer.json()["choices"][0]["finish_reason"] == "tool_calls", answer.text
    accepted(http, "orders", len(NUMBERS))
    body = {"name": "orders", "intents": ["orders"], "holdout": 0.5}
    made = http.post(DATASETS, json=body)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def waiting(http: httpx.Client, intent: str, count: int) -> list[dict[str, Any]]:
    """So many open reviews."""

    def listed() -> list[dict[str, Any]]:
        query = {"state": "open", "intent": intent}
        rows: list[dict[str, Any]] = http.get(f"{ADMIN}/reviews", params=query).json()["data"]
        return rows if len(rows) == count else []

    found: list[dict[str, Any]] = until(listed)
    return found


def accepted(http: httpx.Client, intent: str, count: int) -> None:
    """Have all that waits accepted."""
    for row in waiting(http, intent, count):
        judged = http.post(f"{ADMIN}/reviews/{row['id']}", json={"verdict": "accept"})
        assert judged.status_code == 200, judged.text


def lines(http: httpx.Client, digest: str, **query: str) -> list[dict[str, Any]]:
    """An export."""
    answer = http.get(f"{DATASETS}/{digest}/export", params={"format": "messages", **query})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_dataset_has_the_tools_and_the_calls_of_each_row(
    http: httpx.Client, dataset: dict[str, Any]
) -> None:
    """As chat datasets write them; and a file of it is the same dataset again."""
    assert dataset["counts"] == {"orders": len(NUMBERS)}
    shown = http.get(f"{DATASETS}/{dataset['digest']}").json()
    assert shown["statistics"]["with_tools"] == len(NUMBERS)
    for line in lines(http, dataset["digest"]):
        assert line["tools"] == [TOOL]
        *_, last = line["messages"]
        assert (last["role"], last["content"]) == ("assistant", "")
        [call] = last["tool_calls"]
        assert call["type"] == "function"
        assert call["function"]["name"] == "look_up"
        assert json.loads(call["function"]["arguments"]) == {"id": "x"}
    for form in ("messages", "prompt_completion"):
        exported = http.get(
            f"{DATASETS}/{dataset['digest']}/export", params={"format": form, "metadata": "true"}
        )
        again = http.post(
            f"{DATASETS}/import",
            params={"format": form, "name": f"again as {form}"},
            content=exported.content,
            headers=LINES,
        )
        assert again.status_code == 201, again.text
        assert again.json()["digest"] == dataset["digest"]


def test_a_version_is_tested_with_the_tools(
    system: System, http: httpx.Client, dataset: dict[str, Any], tmp_path: Path
) -> None:
    """Who calls the same with the same arguments passes; who says it in words does not."""
    assert dataset["splits"]["test"] >= 20
    digests = [digest_directory(tiny_adapter(tmp_path / str(seed), seed)) for seed in (1, 2)]
    for engine in system.engines.values():
        spaced = (CALL["name"], '{ "id":"x" }')
        engine.says[f"orders@{digests[0][:12]}"] = Says("no tools", calls=(spaced,))
        engine.says[f"orders@{digests[1][:12]}"] = Says('look_up {"id": "x"}')
        engine.requests.clear()
    states = []
    for seed, digest in zip((1, 2), digests, strict=True):
        assert post_version(http, "orders", archive(seed), "stage=live").status_code == 202
        states.append(settled(http, "orders", digest))
    assert states == ["live", "refused"]
    report = http.get(f"{ADMIN}/adapters/orders/versions/{digests[0]}/gate").json()
    assert (report["candidate"], report["verdict"]) == (1.0, "passed")
    refused = http.get(f"{ADMIN}/adapters/orders/versions/{digests[1]}/gate").json()
    assert (refused["candidate"], refused["current"], refused["verdict"]) == (0.0, 1.0, "failed")
    asked = [
        body
        for engine in system.engines.values()
        for path, body in engine.requests
        if "orders@" in str(body.get("model")) and path == "/v1/chat/completions"
    ]
    questions = [body for body in asked if "Where are my orders" in str(body["messages"][-1])]
    assert len(questions) >= 2 * dataset["splits"]["test"]
    assert all(body["tools"] == [TOOL] for body in questions)


def test_who_reviews_sees_what_could_be_called(http: httpx.Client) -> None:
    """The tools, and the call in lines; a correction may be a call in whatever spelling."""
    asked = chat(http, "cloud/big", "For the rest: where is my kettle?", tools=[TOOL])
    assert asked.status_code == 200
    [row] = waiting(http, "rest", 1)
    found = http.get(f"{ADMIN}/reviews/{row['id']}").json()
    assert found["exchange"]["details"]["tools"] == [TOOL]
    page = http.get(f"/console/reviews/{row['id']}").text
    assert "Tools that were offered: look_up" in page
    assert "looks an order up" in page
    assert "calls look_up {" in page
    right = json.dumps({"name": "look_up", "arguments": {"id": "A7"}}, indent=4)
    judged = http.post(f"{ADMIN}/reviews/{row['id']}", json={"verdict": "edit", "answer": right})
    assert judged.status_code == 200
    text = '[{"type":"function","function":{"name":"look_up","arguments":"{\\"id\\":\\"A7\\"}"}}]'
    assert judged.json()["answer"] == text
    made = http.post(DATASETS, json={"name": "rest", "intents": ["rest"]}).json()
    [line] = lines(http, made["digest"])
    [call] = line["messages"][-1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"id": "A7"}


def test_an_answer_that_says_and_calls_stays_whole(http: httpx.Client) -> None:
    """Accepted, it is both in the row."""
    said = {"role": "assistant", "content": "One moment.", "tool_calls": [{"function": CALL}]}
    line = {"messages": [{"role": "user", "content": "Where?"}, said], "tools": [TOOL]}
    brought = http.post(
        f"{ADMIN}/exchanges/import",
        params={"format": "messages", "intent": "both"},
        content=json.dumps(line),
        headers=LINES,
    )
    assert brought.json()["imported"] == 1, brought.text
    [row] = waiting(http, "both", 1)
    page = http.get(f"/console/reviews/{row['id']}").text
    assert page.index("One moment.") < page.index("calls look_up {")
    accepted(http, "both", 1)
    made = http.post(DATASETS, json={"name": "both", "intents": ["both"]}).json()
    [found] = lines(http, made["digest"])
    last = found["messages"][-1]
    assert last["content"] == "One moment."
    assert last["tool_calls"] == [{"type": "function", "function": CALL}]


def test_what_offered_more_than_is_kept_is_left_out_and_counted(http: httpx.Client) -> None:
    """Too large, or no function: what would be trained is another prompt than was served."""
    large = {**TOOL, "function": {**TOOL["function"], "description": "long " * 20_000}}
    assert chat(http, "cloud/big", "hosted: one", tools=[TOOL, large]).status_code == 200
    body = {
        "model": "cloud/big",
        "input": "hosted: two, of the web",
        "tools": [{"type": "web_search"}],
    }
    assert http.post("/v1/responses", json=body).status_code == 200
    accepted(http, "hosted", 2)
    answer = http.post(DATASETS, json={"name": "none", "intents": ["hosted"]})
    assert answer.status_code == 422, answer.text
    told = answer.json()["error"]["message"]
    assert "too large" in told
    assert "not functions" in told
    made = http.post(DATASETS, json={"name": "both", "intents": ["hosted", "rest"]}).json()
    shown = http.get(f"{DATASETS}/{made['digest']}").json()
    assert sum("left out" in each for each in shown["warnings"]) == 2


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": "[{"}, "tools"),
        ({"tools": '{"type": "function"}'}, "tools"),
        ({"tools": [{**TOOL, "function": {"name": "other"}}]}, "tool_calls"),
        ({}, "tool_calls"),
    ],
)
def test_a_line_whose_tools_cannot_be_kept_is_named(
    http: httpx.Client, more: dict[str, Any], why: str
) -> None:
    """Instead of training on another prompt, or on half of an answer."""
    said = {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [{"id": "c", "function": CALL}],
    }
    good = {"messages": [{"role": "user", "content": "Hi"}, {**said, "tool_calls": None}]}
    bad = {"messages": [{"role": "user", "content": "Where?"}, said], **more}
    answer = http.post(
        f"{DATASETS}/import",
        params={"format": "messages", "name": "wrong", "intent": "files"},
        content="\n".join(map(json.dumps, (good, bad))),
        headers=LINES,
    )
    assert answer.status_code == 201, answer.text
    [rejected] = answer.json()["rejected"]
    assert rejected["line"] == 2
    assert rejected["reason"].startswith(f"{why}:")


def test_tools_of_a_file_are_kept_redacted(http: httpx.Client) -> None:
    """As JSON or as text of it; a person in a definition is a placeholder, the same everywhere."""
    function = {**TOOL["function"], "description": "as zoe.miller@example.org asked for"}
    said = {"role": "assistant", "content": "I look.", "tool_calls": [{"function": CALL}]}
    asked = {"role": "user", "content": "Where, asks zoe.miller@example.org?"}
    line = {"messages": [asked, said], "tools": json.dumps([{**TOOL, "function": function}])}
    answer = http.post(
        f"{DATASETS}/import",
        params={"format": "messages", "name": "text", "intent": "files"},
        content=json.dumps(line),
        headers=LINES,
    )
    assert answer.status_code == 201, answer.text
    [found] = lines(http, answer.json()["digest"])
    assert found["tools"][0]["function"]["description"] == "as [EMAIL_1] asked for"
    assert found["messages"][0]["content"] == "Where, asks [EMAIL_1]?"
    assert found["messages"][-1]["content"] == "I look."
    assert found["messages"][-1]["tool_calls"] == [{"type": "function", "function": CALL}]
