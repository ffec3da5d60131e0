"""A pin is a promise: exactly that version or an error, never another one, base or provider."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.client import Pushed, chat, error_of, move, push, said, until
from tests.fakes.engine_speech import Says
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_retired_version_is_gone(
    app: httpx.Client, ops: httpx.Client, keyed: System, stream: bool
) -> None:
    """410, in the shape of the API that was called; nothing else answers."""
    alias = f"retired{int(stream)}"
    old = push(ops, alias, 21)
    push(ops, alias, 22)
    assert move(ops, alias, "retire", digest=old.digest).status_code == 200
    keyed.forget()
    answer = chat(app, old.name, stream=stream)
    assert answer.status_code == 410, answer.text
    assert error_of(answer)["code"] == "version_retired"
    on_messages = app.post(
        "/v1/messages",
        json={
            "model": old.name,
            "max_tokens": 8,
            "messages": [{"role": "user", "content": "x"}],
        },
    )
    assert on_messages.status_code == 410
    assert on_messages.json()["type"] == "error"
    assert not keyed.asked()


def test_a_retired_version_is_gone_from_the_list_as_well(
    app: httpx.Client, ops: httpx.Client
) -> None:
    """Asked for by its name it is told of as to whoever wants its answer."""
    old, new = push(ops, "listed-once", 31), push(ops, "listed-once", 32)
    assert app.get(f"/v1/models/{old.name}").status_code == 200
    assert move(ops, old.alias, "retire", digest=old.digest).status_code == 200
    until(lambda: chat(app, old.name).status_code == 410)
    gone = app.get(f"/v1/models/{old.name}")
    assert gone.status_code == 410, gone.text
    assert error_of(gone)["code"] == "version_retired"
    assert app.get(f"/v1/models/{new.name}").status_code == 200
    assert app.get("/v1/models/listed-once@000000000000").status_code == 404


def test_a_pin_may_say_that_others_will_do(
    app: httpx.Client, ops: httpx.Client, keyed: System
) -> None:
    """In the body or by header: then somebody answers, and the answer says who."""
    old, new = push(ops, "flexible", 31), push(ops, "flexible", 32)
    assert move(ops, "flexible", "retire", digest=old.digest).status_code == 200
    for more in (
        {"graftwork": {"fallback": True}},
        {"headers": {"x-graftwork-fallback": "true"}},
    ):
        answer = chat(app, old.name, **more)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-graftwork-target"] in {new.target, "base", "frontier:cloud/big"}


def test_a_pinned_version_that_fails_is_not_replaced(
    app: httpx.Client, keyed: System, returns: Pushed, frontier: FakeFrontier
) -> None:
    """Its engine's errors reach the client; neither base nor provider steps in."""
    for engine in keyed.engines.values():
        engine.says[returns.name] = Says(status=500)
    answer = chat(app, returns.name)
    assert answer.status_code >= 500
    assert set(keyed.asked()) == {returns.name}
    assert not frontier.requests


def test_a_pin_outlives_the_alias(app: httpx.Client, ops: httpx.Client) -> None:
    """Replaced and brought back: each pin still gets its own version."""
    first, second = push(ops, "pinned", 11), push(ops, "pinned", 12)
    assert said(chat(app, "pinned")) == f"I am {second.name}"
    for version in (first, second):
        answer = chat(app, version.name)
        assert said(answer) == f"I am {version.name}"
        assert answer.headers["x-graftwork-target"] == version.target
    assert move(ops, "pinned", "rollback").status_code == 200
    assert said(chat(app, "pinned")) == f"I am {first.name}"
    assert said(chat(app, second.name)) == f"I am {second.name}"


def test_an_unknown_version_is_not_found(app: httpx.Client, keyed: System, returns: Pushed) -> None:
    """And nothing else answers."""
    answer = chat(app, "returns@000000000000")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "model_not_found"
    assert not keyed.asked()


def test_an_alias_is_answered_by_somebody_else_when_its_version_fails(
    app: httpx.Client, keyed: System, returns: Pushed
) -> None:
    """Nobody pinned anything: law 3."""
    for engine in keyed.engines.values():
        engine.says[returns.name] = Says(status=500)
    answer = chat(app, "returns")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-graftwork-target"] != returns.target
    assert int(answer.headers["x-graftwork-attempts"]) > 1
