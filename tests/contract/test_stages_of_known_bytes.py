"""Pushing known bytes is a statement of the wanted stage: roll back by pipeline."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.client import ADMIN, Pushed, archive, chat, move, post_version, push, said


def test_a_canary_is_pushed_as_live(ops: httpx.Client, app: httpx.Client) -> None:
    """It climbs."""
    push(ops, "climber", 1)
    canary = Pushed(
        "climber",
        post_version(ops, "climber", archive(2), "wait=live&stage=canary&percent=1").json()[
            "digest"
        ],
    )
    answer = post_version(ops, "climber", archive(2), "wait=live&stage=live")
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "live"
    assert said(chat(app, "climber")) == f"I am {canary.name}"


def test_rollback_without_a_version_before(ops: httpx.Client, app: httpx.Client) -> None:
    """The alias is left without a live one; ``promote`` brings it back."""
    only = push(ops, "only", 1)
    answer = move(ops, "only", "rollback")
    assert answer.status_code == 200, answer.text
    assert "only" not in {each["id"] for each in app.get("/v1/models").json()["data"]}
    assert move(ops, "only", "promote", digest=only.digest).status_code == 200
    assert said(chat(app, "only")) == f"I am {only.name}"


def test_the_version_before_is_pushed_again(ops: httpx.Client, app: httpx.Client) -> None:
    """A, B, A: the pushed build serves when ``wait=live`` returns."""
    first, second = push(ops, "aba", 1), push(ops, "aba", 2)
    answer = post_version(ops, "aba", archive(1))
    assert answer.status_code == 200, answer.text
    assert answer.json()["digest"] == first.digest
    assert answer.json()["state"] == "live"
    assert said(chat(app, "aba")) == f"I am {first.name}"
    assert said(chat(app, second.name)) == f"I am {second.name}"


def test_a_retired_version_is_pushed_again(ops: httpx.Client, app: httpx.Client) -> None:
    """It comes back from the store."""
    first = push(ops, "phoenix", 1)
    assert move(ops, "phoenix", "retire").status_code == 200
    answer = post_version(ops, "phoenix", archive(1))
    assert answer.status_code in {200, 201}, answer.text
    assert said(chat(app, "phoenix")) == f"I am {first.name}"


@pytest.mark.parametrize("stage", ["canary", "shadow"])
def test_a_stage_needs_no_share(ops: httpx.Client, stage: str) -> None:
    """New bytes and known ones; what they have already is kept."""
    alias = f"staged-{stage}"
    push(ops, alias, 1)
    for status in (201, 200):
        answer = post_version(ops, alias, archive(2), f"wait=live&stage={stage}")
        assert (answer.status_code, answer.json()["state"]) == (status, stage), answer.text
    candidates = ops.get(f"{ADMIN}/adapters/{alias}").json()["candidates"]
    assert [(each["stage"], each["percent"]) for each in candidates] == [(stage, 10.0)]
    for percent in ("0", "-1", "101", "x"):
        answer = post_version(ops, alias, archive(2), f"stage={stage}&percent={percent}")
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("stage", ["canary", "shadow"])
def test_what_is_live_goes_where_its_push_says(
    ops: httpx.Client, app: httpx.Client, stage: str
) -> None:
    """What was live before is again; without one, nothing is, and it comes back by a push."""
    alias = f"stepping-{stage}"
    first, second = push(ops, alias, 1), push(ops, alias, 2)
    for seed, live in ((2, first.digest), (1, None)):
        answer = post_version(ops, alias, archive(seed), f"wait=live&stage={stage}")
        assert (answer.status_code, answer.json()["state"]) == (200, stage), answer.text
        assert ops.get(f"{ADMIN}/adapters/{alias}").json()["live"] == live
    assert post_version(ops, alias, archive(2)).json()["state"] == "live"
    assert said(chat(app, second.name)) == f"I am {second.name}"
