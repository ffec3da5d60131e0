"""Pushing known bytes is a statement of the wanted stage: roll back by pipeline."""

from __future__ import annotations

import httpx

from tests.contract.client import archive, chat, move, post_version, push, said


def test_a_retired_version_is_pushed_again(ops: httpx.Client, app: httpx.Client) -> None:
    """It comes back from the store."""
    first = push(ops, "phoenix", 1)
    assert move(ops, "phoenix", "retire").status_code == 200
    answer = post_version(ops, "phoenix", archive(1))
    assert answer.status_code in {200, 201}, answer.text
    assert said(chat(app, "phoenix")) == f"I am {first.name}"
