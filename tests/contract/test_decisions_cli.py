"""`graftwork decisions`: what was decided for each request, as the server tells it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from serving.cli.main import app
from tests.contract.client import chat, client
from tests.fakes.whole_system import System


def command(system: System, *words: str) -> Result:
    """What a person would type."""
    return CliRunner(env={"GRAFTWORK_URL": system.url, "COLUMNS": "200"}).invoke(
        app, ["decisions", *words]
    )


def answer(system: System, *words: str) -> Any:
    """Its JSON."""
    result = command(system, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def decided(keyless: System) -> list[str]:
    """Ids of three decisions, the newest first; the last one was refused."""
    with client(keyless) as http:
        models = ("nothing-of-this-name", "base", "base")
        asked = [chat(http, model, f"Is {n} a prime?") for n, model in enumerate(models)]
    return [each.headers["x-graftwork-decision-id"] for each in asked][::-1]


def test_decisions_are_listed_with_the_servers_filters(keyless: System, decided: list[str]) -> None:
    """The newest first, for people and for programs; what is left is told."""
    found = answer(keyless, "list", "--limit", "2")
    assert [row["id"] for row in found["data"]] == decided[:2]
    assert found["next"] is not None
    listed = command(keyless, "list", "--limit", "2")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == decided[:2]
    assert "there are more" in listed.stderr
    wanted = {
        ("--status", "404"): decided[2:],
        ("--target", "base", "--tenant", "default"): decided[:2],
        ("--tenant", "nobody"): [],
        ("--intent", "nothing like it"): [],
        ("--since", "2100-01-01T00:00:00"): [],
    }
    for words, ids in wanted.items():
        rows = answer(keyless, "list", *words)["data"]
        assert [row["id"] for row in rows if row["id"] in decided] == ids, words
    wrong = command(keyless, "list", "--since", "yesterday")
    assert wrong.exit_code == 1
    assert "ISO 8601" in wrong.stderr
    assert command(keyless, "list", "--status", "7").exit_code == 2


def test_one_decision_is_shown_with_its_candidates(keyless: System, decided: list[str]) -> None:
    """In full; of one that there is not, one line says what lists them."""
    told = answer(keyless, "show", decided[0])
    assert (told["id"], told["target"]) == (decided[0], "base")
    shown = command(keyless, "show", decided[0]).stdout
    assert f"id            {decided[0]}" in shown
    assert "candidate" in shown
    missing = command(keyless, "show", "dec_nothing")
    assert missing.exit_code == 1
    assert len(missing.stderr.splitlines()) == 1
