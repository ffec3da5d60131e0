"""What ``model`` may name, and what it may not."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.client import Pushed, archive, chat, error_of, post_version, said
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System


def test_everything_that_may_be_named_is_listed(app: httpx.Client, returns: Pushed) -> None:
    """Base, alias, version, provider's model, ``auto``; each also alone."""
    listed = app.get("/v1/models").json()
    assert listed["object"] == "list"
    names = {each["id"] for each in listed["data"]}
    assert {"auto", "tiny", "returns", returns.name, "cloud/big", "claude/opus"} <= names
    for name in names:
        alone = app.get(f"/v1/models/{name}")
        assert alone.status_code == 200
        assert alone.json()["id"] == name


@pytest.mark.parametrize("path", ["/v1/models/nobody", "/v1/models/returns@000000000000"])
def test_a_model_that_does_not_exist_is_not_found(app: httpx.Client, path: str) -> None:
    """By its own route."""
    answer = app.get(path)
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "model_not_found"


def test_a_name_leads_where_it_says(app: httpx.Client, returns: Pushed) -> None:
    """The base by its id, an alias to its live version, a provider's model by its public name."""
    for model, target in (
        ("tiny", "base"),
        ("returns", returns.target),
        (returns.name, returns.target),
        ("cloud/big", "frontier:cloud/big"),
        ("claude/opus", "frontier:claude/opus"),
    ):
        answer = chat(app, model, max_tokens=8)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-graftwork-target"] == target


def test_an_adapters_answer_comes_from_its_version(
    app: httpx.Client, keyed: System, returns: Pushed
) -> None:
    """The engine is asked for the version, never for the alias."""
    assert said(chat(app, "returns")) == f"I am {returns.name}"
    assert keyed.asked() == [returns.name]


def test_auto_is_the_routers_choice(
    app: httpx.Client, returns: Pushed, frontier: FakeFrontier
) -> None:
    """A recognised intent goes to its adapter, and the answer says so."""
    answer = chat(app, "auto", "I want a refund")
    assert answer.headers["x-graftwork-intent"] == "returns"
    assert answer.headers["x-graftwork-target"] == returns.target
    assert not frontier.requests


@pytest.mark.parametrize("model", ["nobody", "cloud/nobody", "nobody/big", "nobody@000000000000"])
def test_an_unknown_model_is_not_found(app: httpx.Client, model: str) -> None:
    """404, and nothing was asked."""
    answer = chat(app, model)
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "model_not_found"


@pytest.mark.parametrize("alias", ["auto", "base", "tiny", "cloud", "claude"])
def test_an_alias_that_means_something_else_is_refused(ops: httpx.Client, alias: str) -> None:
    """422 by the check's name, and what the name means stays what it was."""
    answer = post_version(ops, alias, archive(31))
    assert answer.status_code == 422, answer.text
    failed = [check["name"] for check in answer.json()["checks"] if not check["ok"]]
    assert failed == ["alias-name"]
    names = [model["id"] for model in ops.get("/v1/models").json()["data"]]
    assert len(names) == len(set(names))
