"""`graftwork reviews`: what the server says, by its commands; keys aside, `--as` names who acts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from serving.cli.main import app
from tests.contract.client import ADMIN, chat, client, until
from tests.contract.reviewing import REVIEWS
from tests.fakes.whole_system import System, whole_system


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Without keys: what the operator asks himself is captured."""
    with whole_system(tmp_path_factory.mktemp("cli"), replicas=1) as running:
        yield running


@pytest.fixture
def review(system: System, request: pytest.FixtureRequest) -> str:
    """One that waits, about a question of its own."""
    with client(system) as http:
        answer = chat(http, "base", f"Does {request.node.name} open on Sunday?")
        decision = answer.headers["x-graftwork-decision-id"]

        def found() -> str | None:
            rows = http.get(REVIEWS, params={"state": "open", "limit": "1000"}).json()["data"]
            return next((str(row["id"]) for row in rows if row["decision_id"] == decision), None)

        return str(until(found))


def command(system: System, *words: str, given: str | None = None) -> Result:
    """What a person would type."""
    environ = {"GRAFTWORK_URL": system.url, "COLUMNS": "200", "GRAFTWORK_ACTOR": "ann"}
    return CliRunner(env=environ).invoke(app, ["reviews", *words], input=given)


def answer(system: System, *words: str) -> Any:
    """Its JSON."""
    result = command(system, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_item_is_listed_shown_and_claimed(system: System, review: str) -> None:
    """For people and for programs."""
    assert review in [row["id"] for row in answer(system, "list")["data"]]
    listed = command(system, "list", "--to-do", "--limit", "100")
    assert listed.exit_code == 0, listed.output
    assert "open on Sunday?" in listed.stdout
    assert answer(system, "claim", review)["claimed_by"] == "ann"
    assert "claimed by ann" in command(system, "show", review).stdout
    refused = command(system, "claim", review, "--as", "bob")
    assert refused.exit_code == 1
    assert "ann holds" in refused.stderr
    assert "review_claimed" in refused.stderr
    assert answer(system, "release", review)["state"] == "open"


def test_verdicts(system: System, review: str, tmp_path: Path) -> None:
    """Given, told apart, taken back."""
    assert "done, gold" in command(system, "accept", review).stdout
    assert "open" in command(system, "undo", review).stdout
    text = tmp_path / "right.txt"
    text.write_text("On Sunday too.", encoding="utf-8")
    edited = answer(system, "edit", review, "--file", str(text), "--comment", "see the sign")
    assert edited["answer"] == "On Sunday too."
    shown = command(system, "show", review).stdout
    assert "On Sunday too." in shown
    assert "see the sign" in shown
    command(system, "undo", review)
    given = command(system, "edit", review, "--file", "-", given="On Sundays.")
    assert given.exit_code == 0, given.output
    command(system, "undo", review)
    assert answer(system, "escalate", review)["escalated"]
    assert answer(system, "reject", review, "--as", "bob")["outcome"] == "rejected"


def test_next_is_claimed(system: System, review: str) -> None:
    """Until nothing waits."""
    claimed = set()
    while (result := command(system, "next", "--json", "--as", "dan")).exit_code == 0:
        claimed.add(json.loads(result.stdout)["id"])
    assert review in claimed
    assert "nothing_to_review" in result.stderr
    assert command(system, "next", "--intent", "nowhere").exit_code == 1


def test_agreement_and_guidelines(system: System, review: str) -> None:
    """What reviewers are to go by, and how they do."""
    command(system, "edit", review, "--answer", "Yes.")
    command(system, "edit", review, "--answer", "yes.", "--as", "bob")
    assert answer(system, "agreement")["items"] >= 1
    shown = command(system, "agreement").stdout
    assert "ann" in shown
    assert "alpha" in shown
    assert command(system, "guideline", "Be kind.").exit_code == 0
    assert "Be kind." in command(system, "show", review).stdout
    assert answer(system, "guideline", "")["text"] == ""


def test_what_makes_no_sense(system: System, review: str) -> None:
    """One line says what to do; 2 is for words that are wrong."""
    assert command(system, "edit", review).exit_code == 2
    assert command(system, "edit", review, "--file", "/nowhere").exit_code == 1
    missing = command(system, "show", "rev_none")
    assert missing.exit_code == 1
    assert "review_not_found" in missing.stderr
    assert command(system, "list", "--state", "lost").exit_code == 1
    assert command(system, "accept", review, "--as", "an\u00ef").exit_code == 1
    with client(system) as http:
        assert http.get(f"{ADMIN}/reviews/{review}").json()["state"] == "open"
