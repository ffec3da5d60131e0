"""`graftwork gate judge`: one question a line in, one verdict a line out, without a server."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from serving.cli.main import app


def _line(number: object, n: int, losses: int, **more: object) -> str:
    items = [
        {"id": k, "slice": "ab"[k % 2], "candidate": int(k >= losses), "current": 1}
        for k in range(n)
    ]
    return json.dumps({"id": number, "margin": 0.1, "alpha": 0.05, "items": items, **more})


def _run(text: str, *args: str) -> Result:
    return CliRunner().invoke(app, ["gate", "judge", *args], input=text)


def test_each_line_has_its_verdict_in_order() -> None:
    """An equal version, a worse one, and one with too few items."""
    done = _run("\n".join([_line("a", 200, 0), "", _line(2, 200, 60), _line(3, 8, 0)]), "--jsonl")
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["id"], each["verdict"]) for each in found] == [
        ("a", "passed"),
        (2, "failed"),
        (3, "refused"),
    ]
    assert all(each.keys() == {"id", "verdict", "power"} for each in found)
    assert found[0]["power"] > 0.99
    assert found[2]["power"] < 0.8


def test_one_object_is_shown_whole() -> None:
    """As JSON, and for a person."""
    whole = json.loads(_run(_line(1, 200, 0), "--json").stdout)
    assert whole["n_missing"] == 0
    assert {each["name"] for each in whole["slices"]} == {"a", "b"}
    assert _run(_line(1, 200, 0)).stdout.startswith("passed: ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[]", "must be an object"),
        ('{"id": 1, "items": [3]}', "line 2"),
        ('\n\n{"id": 1, "items": [3]}', "line 4"),
        (_line(1, 8, 0, margin=2), "margin"),
        (_line(1, 8, 0, alpha=0), "alpha"),
        ('{"id": 1, "items": [{"id": 1, "candidate": 1}]}', "current"),
        ('{"id": 1, "items": [{"candidate": true, "current": 1}]}', "candidate: must be a score"),
        ('{"id": 1, "items": [3]}', "items[0]: must be an object"),
    ],
)
def test_what_cannot_be_read_is_named(line: str, said: str) -> None:
    """With the line; what came before it was judged; exit 2."""
    done = _run(f"{_line(1, 40, 0)}\n{line}\n", "--jsonl", "-")
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_items_without_an_id_count_each() -> None:
    """Their places name them; two with one id are one."""
    items = [{"candidate": 1, "current": 1}] * 200
    given = {"id": 1, "margin": 0.05, "alpha": 0.05, "items": items}
    assert json.loads(_run(json.dumps(given), "--json").stdout)["n"] == 200
    named = {**given, "items": [{**each, "id": "same"} for each in items]}
    assert json.loads(_run(json.dumps(named), "--json").stdout)["n"] == 1
