"""Exchanges from elsewhere: each format, wrong lines, whose they are; over HTTP and by command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from router.admit.keys import hash_key
from serving.cli.main import app
from tests.contract.client import ADMIN, client
from tests.contract.test_erasures import holding
from tests.fakes.whole_system import System, whole_system

MAIL = "maria.planted@example.com"
CHAT = {
    "request": {
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "What is the fee?"}],
        "user": "person-9",
    },
    "response": {
        "model": "gpt-x-1",
        "created": 1700000000,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Two euros."}}],
    },
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """With an operator, and a tenant that refused."""
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": name, "scopes": ["admin"]}
        for name in ("ops", "silent")
    ]
    router = {
        "auth": {"keys": keys},
        "capture": {"tenants": {"silent": {"consent": False}}},
    }
    flywheel = {"corpus": {"import_max_mb": 3}}
    root = tmp_path_factory.mktemp("import")
    with whole_system(root, router, replicas=1, flywheel=flywheel) as running:
        yield running


@pytest.fixture(scope="module")
def ops(system: System) -> Iterator[httpx.Client]:
    """Whoever runs it."""
    with client(system, "ops") as found:
        yield found


def bring(
    http: httpx.Client, form: str, *lines: Any, kind: str = "application/x-ndjson", **query: str
) -> httpx.Response:
    """Import lines: objects, or text as it is."""
    body = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    return http.post(
        f"{ADMIN}/exchanges/import",
        params={"format": form, **query},
        content=body.encode(),
        headers={"content-type": kind},
    )


def taken(answer: httpx.Response) -> tuple[int, int, list[int]]:
    """How many were imported and duplicates, and the numbers of the lines that were rejected."""
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["rejected_total"] == len(told["rejected"])
    assert all(each.keys() == {"line", "reason"} and each["reason"] for each in told["rejected"])
    return told["imported"], told["duplicates"], [each["line"] for each in told["rejected"]]


def newest(http: httpx.Client, **query: Any) -> dict[str, Any]:
    """The row that came last."""
    return dict(http.get(f"{ADMIN}/exchanges", params={"limit": 1, **query}).json()["data"][0])


def test_messages(ops: httpx.Client) -> None:
    """The last one is the answer."""
    line = {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": f"Mail {MAIL}, is {MAIL} right?"},
            {"role": "assistant", "content": f"{MAIL} is right."},
        ],
        "session": "s-7",
    }
    assert taken(bring(ops, "messages", line, intent="contact")) == (1, 0, [])
    row = newest(ops)
    assert row["request"]["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Mail [EMAIL_1], is [EMAIL_1] right?"},
    ]
    assert row["response"] == "[EMAIL_1] is right."
    assert (row["intent"], row["target"], row["tenant"]) == ("contact", "import", "ops")
    assert (row["session"], row["state"], row["count"]) == ("s-7", "captured", 1)


def test_prompt_and_completion(ops: httpx.Client) -> None:
    """As texts, or as messages."""
    lines = [
        {"prompt": "How long does it take?", "completion": "A week.", "intent": "delivery"},
        {
            "prompt": [{"role": "user", "content": "And to Malta?"}],
            "completion": [{"role": "assistant", "content": "Two weeks."}],
        },
    ]
    assert taken(bring(ops, "prompt_completion", *lines)) == (2, 0, [])
    assert newest(ops)["response"] == "Two weeks."
    row = newest(ops, intent="delivery")
    assert row["request"]["messages"] == [{"role": "user", "content": "How long does it take?"}]


@pytest.mark.parametrize(
    ("line", "asked", "said"),
    [
        (CHAT, "What is the fee?", "Two euros."),
        (
            {
                "request": {"body": {"model": "m", "input": "What is the toll?"}},
                "response": {
                    "status_code": 200,
                    "body": {
                        "object": "response",
                        "output": [
                            {
                                "type": "message",
                                "role": "assistant",
                                "content": [{"type": "output_text", "text": "Three euros."}],
                            }
                        ],
                    },
                },
            },
            "What is the toll?",
            "Three euros.",
        ),
        (
            {
                "messages": [{"role": "user", "content": "What is the tax?"}],
                "choices": [{"message": {"role": "assistant", "content": "A fifth."}}],
            },
            "What is the tax?",
            "A fifth.",
        ),
        (
            {
                "request": {"prompt": "What is the rent?"},
                "response": {"choices": [{"text": "Much.", "index": 0}]},
            },
            "What is the rent?",
            "Much.",
        ),
    ],
)
def test_openai_logs(ops: httpx.Client, line: dict[str, Any], asked: str, said: str) -> None:
    """Chat, Responses, completions; with the bodies apart or in one object."""
    assert taken(bring(ops, "openai_logs", line)) == (1, 0, [])
    row = newest(ops)
    assert row["request"]["messages"][-1]["content"] == asked
    assert row["response"] == said


def test_logged_time_person_and_model_are_kept(ops: httpx.Client) -> None:
    """The person as a hash that finds it."""
    bring(ops, "openai_logs", CHAT)
    row = newest(ops, subject="person-9")
    assert row["time"].startswith("2023-11-14")
    assert row["details"]["model"] == "gpt-x-1"
    assert "person-9" not in json.dumps(row)


def test_calls_are_the_answer_of_who_only_calls(ops: httpx.Client) -> None:
    """As JSON; the tools are kept."""
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q":1}'}}
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    line = {
        "messages": [
            {"role": "user", "content": "Find one"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "tools": [tool],
    }
    assert taken(bring(ops, "messages", line)) == (1, 0, [])
    row = newest(ops)
    assert json.loads(row["response"])[0]["function"] == {"name": "find", "arguments": '{"q":1}'}
    assert row["details"]["tools"] == [tool]


def test_calls_beside_words_are_kept_with_them(ops: httpx.Client) -> None:
    """In every format: with half of an answer another one would be learned."""
    call = {"type": "function", "function": {"name": "find", "arguments": '{"q":1}'}}
    said = {"role": "assistant", "content": "One moment.", "tool_calls": [{"id": "c", **call}]}
    asked = {"role": "user", "content": "Find a moment"}
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    lines: dict[str, dict[str, Any]] = {
        "messages": {"messages": [asked, said]},
        "prompt_completion": {"prompt": "Complete a moment", "completion": [said]},
        "openai_logs": {
            "request": {"messages": [{**asked, "content": "Log a moment"}], "tools": [tool]},
            "response": {"choices": [{"index": 0, "message": said}]},
        },
    }
    for form, line in lines.items():
        assert taken(bring(ops, form, {**line, "tools": [tool]})) == (1, 0, [])
        row = newest(ops)
        assert row["response"] == "One moment."
        assert row["details"]["tool_calls"] == [call]
        assert row["details"]["tools"] == [tool]


def test_lines_are_counted_from_one_and_wrong_ones_named(ops: httpx.Client) -> None:
    """Empty ones are passed over; the others are taken."""
    good = {"prompt": "Which line am I?", "completion": "The seventh."}
    answer = bring(
        ops,
        "prompt_completion",
        "not json",
        "[1, 2]",
        "",
        {"prompt": "No answer"},
        {"completion": "No question"},
        {"prompt": "Blank", "completion": "  "},
        good,
        json.dumps({"prompt": "x" * 1_100_000, "completion": "too long"}),
        {"prompt": "Time?", "completion": "Now.", "time": "yesterday"},
        {"prompt": 7, "completion": "odd"},
        good,
    )
    assert taken(answer) == (1, 1, [1, 2, 4, 5, 6, 8, 9, 10])
    assert newest(ops)["count"] == 2


def test_a_last_line_needs_no_end(ops: httpx.Client) -> None:
    """And an empty file has no lines."""
    assert taken(bring(ops, "prompt_completion")) == (0, 0, [])
    body = '{"prompt": "CRLF too?", "completion": "Yes."}\r\n'
    assert taken(bring(ops, "prompt_completion", body)) == (1, 0, [])


def test_what_was_captured_before_is_a_duplicate(ops: httpx.Client) -> None:
    """However it is spelled."""
    one = {"prompt": "Do you ship to Peru?", "completion": "Yes."}
    two = {"prompt": "do you ship to PERU", "completion": "Certainly."}
    assert taken(bring(ops, "prompt_completion", one)) == (1, 0, [])
    assert taken(bring(ops, "prompt_completion", two)) == (0, 1, [])
    row = newest(ops)
    assert row["count"] == 2
    assert row["details"]["answers"] == [{"target": "import", "response": "Certainly."}]


def test_planted_values_are_in_no_file(system: System, ops: httpx.Client) -> None:
    """Nothing of a line is written before it is redacted, and reasons repeat nothing."""
    card = "4111111111111111"
    line = {"prompt": f"Card {card} of {MAIL}", "completion": f"{card}!", "session": MAIL}
    assert taken(bring(ops, "prompt_completion", line)) == (1, 0, [])
    assert newest(ops)["session"].startswith("session_")
    bad = bring(ops, "prompt_completion", {"prompt": MAIL, "completion": "", "time": MAIL})
    assert MAIL not in bad.text
    assert holding(system.root, MAIL, card) == []


def test_a_tenant_that_refused_is_not_imported(system: System, ops: httpx.Client) -> None:
    """Neither by its own key nor by the operator's."""
    line = {"prompt": "May I?", "completion": "No."}
    with client(system, "silent") as own:
        assert bring(own, "prompt_completion", line).status_code == 403
    answer = bring(ops, "prompt_completion", line, tenant="silent")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "no_consent"
    assert taken(bring(ops, "prompt_completion", line, tenant="other")) == (1, 0, [])
    assert newest(ops)["tenant"] == "other"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"format": "csv"}, "format"),
        ({}, "format"),
        ({"format": "messages", "intent": ""}, "intent"),
    ],
)
def test_bad_queries_are_named(ops: httpx.Client, query: dict[str, str], param: str) -> None:
    """With the parameter."""
    answer = ops.post(f"{ADMIN}/exchanges/import", params=query, content=b"{}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_what_is_no_file_of_lines_is_refused(ops: httpx.Client) -> None:
    """By its media type, and by its size."""
    line = {"prompt": "A?", "completion": "B."}
    assert bring(ops, "prompt_completion", line, kind="image/png").status_code == 415
    large = [{"prompt": f"{n} {'x' * 100_000}", "completion": "."} for n in range(40)]
    answer = bring(ops, "prompt_completion", *large)
    assert answer.status_code == 413
    assert "import_max_mb" in answer.text


# The command


def command(system: System, *words: str) -> Result:
    """What a person would type."""
    env = {"GRAFTWORK_URL": system.url, "GRAFTWORK_API_KEY": "key-ops", "COLUMNS": "200"}
    return CliRunner(env=env).invoke(app, ["exchanges", *words])


def emitted(done: Result) -> Any:
    """The JSON among the log lines of the system, which runs in this process as well."""
    out = done.stdout
    return json.loads(out[out.index("{\n") : out.rindex("\n}") + 2])


def test_the_command_imports_lists_and_shows(system: System, tmp_path: Path) -> None:
    """Exit 2 and where, when a line was rejected."""
    file = tmp_path / "lines.jsonl"
    file.write_text('{"prompt": "Typed by hand?", "completion": "Yes."}\nnothing\n')
    done = command(
        system, "import", str(file), "--format", "prompt_completion", "--intent", "typed"
    )
    assert done.exit_code == 2
    assert "imported 1, duplicates 0" in done.output
    assert f"{file}:2: it is not valid JSON" in done.output
    found = emitted(command(system, "list", "--intent", "typed", "--json"))
    assert [each["response"] for each in found["data"]] == ["Yes."]
    assert "Typed by hand?" in command(system, "list").output
    shown = command(system, "show", found["data"][0]["id"])
    assert shown.exit_code == 0
    assert "user: Typed by hand?\nimport: Yes.\n" in shown.stdout
    again = command(system, "import", str(file), "--format", "prompt_completion", "--json")
    assert emitted(again)["duplicates"] == 1


def test_the_command_says_what_is_wrong(system: System, tmp_path: Path) -> None:
    """Exit 1 and a remedy."""
    done = command(system, "import", str(tmp_path / "gone"), "--format", "messages")
    assert done.exit_code == 1
    assert "cannot be read" in done.output
    assert command(system, "show", "exc_0").exit_code == 1
    assert command(system, "list", "--help").exit_code == 0
