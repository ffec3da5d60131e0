"""A pin is a promise: exactly that version or an error, never another one, base or provider."""

from __future__ import annotations

import httpx

from tests.contract.client import Pushed, chat, error_of, move, push, said
from tests.fakes.engine_speech import Says
from tests.fakes.whole_system import System


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


def test_a_retired_version_is_gone(app: httpx.Client, ops: httpx.Client) -> None:
    """410, unless the client takes another answer."""
    first, second = push(ops, "leaving", 21), push(ops, "leaving", 22)
    assert move(ops, "leaving", "retire", digest=first.digest).status_code < 300
    gone = chat(app, first.name)
    assert gone.status_code == 410, gone.text
    assert error_of(gone)["code"] == "version_retired"
    for allow in ({"graftwork": {"fallback": True}}, {"headers": {"x-graftwork-fallback": "true"}}):
        answer = chat(app, first.name, **allow)
        assert answer.headers["x-graftwork-target"] == second.target


def test_a_broken_version_is_an_error(app: httpx.Client, keyed: System, ops: httpx.Client) -> None:
    """Neither the base nor the version before answers for it."""
    push(ops, "breaking", 23)
    broken = push(ops, "breaking", 24)
    for engine in keyed.engines.values():
        engine.says[broken.name] = Says(status=500)
    answer = chat(app, broken.name)
    assert answer.status_code >= 500
    assert set(keyed.asked()) == {broken.name}
