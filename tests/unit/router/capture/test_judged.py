"""Which judgements have an exchange kept, and what is kept of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters.corpus.delivery import Afterwards
from router.audit.feedback import Feedback
from router.capture.judged import Judgements, said
from router.request import Caller
from tests.unit.router.capture.test_captures import Router, run

ANN = Caller("ann", "acme", frozenset())


def heard(tmp_path: Path, kind: str, value: Any, **record: Any) -> list[Afterwards]:
    """What goes to the corpus of one judgement."""
    found: list[Afterwards] = []

    async def work(router: Router) -> None:
        given = Feedback.model_validate({"decision_id": "dec_1", "kind": kind, "value": value})
        about = {"tenant": "acme", "features": {"no_capture": False}, **record}
        Judgements(router.captures).hear(given, about, ANN)
        await asyncio.sleep(0)
        found.extend(each for each in await router.entries() if isinstance(each, Afterwards))

    run(tmp_path, work)
    return found


def test_a_demonstration_that_calls_is_its_calls() -> None:
    """Beside whatever it says: they are what reviewers choose."""
    call = {"type": "function", "function": {"name": "find", "arguments": "{}"}}
    for content in (None, "One moment."):
        shown = {"role": "assistant", "content": content, "tool_calls": [call]}
        assert orjson.loads(said([shown])) == orjson.loads(said(shown)) == [call]


@pytest.mark.parametrize(
    ("kind", "value", "names", "details"),
    [
        ("boolean", False, ("negative_feedback",), {}),
        ("float", 0.1, ("negative_feedback",), {}),
        ("comment", "meh", (), {"comments": ["meh"]}),
        ("demonstration", "So.", ("demonstration",),
         {"demonstrations": [{"answer": "So.", "by": "ann"}]}),
    ],
)  # fmt: skip
def test_what_speaks_for_an_exchange(
    tmp_path: Path, kind: str, value: Any, names: tuple[str, ...], details: dict[str, Any]
) -> None:
    """Bad marks, comments, and what should have been answered."""
    (found,) = heard(tmp_path, kind, value)
    assert found.names == names
    assert {name: found.details[name] for name in details} == details


@pytest.mark.parametrize(
    ("kind", "value", "record"),
    [
        ("boolean", True, {}),
        ("float", 0.9, {}),
        ("boolean", False, {"tenant": "unknown"}),
        ("boolean", False, {"features": {"no_capture": True}}),
        ("demonstration", "So.", {"features": None}),
    ],
)
def test_what_does_not(tmp_path: Path, kind: str, value: Any, record: dict[str, Any]) -> None:
    """Good marks; who did not consent, said no, or was erased since."""
    assert heard(tmp_path, kind, value, **record) == []


@pytest.mark.parametrize(
    "value",
    [
        "So.",
        {"role": "assistant", "content": "So."},
        [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}],
        {"content": [{"type": "text", "text": "So."}]},
    ],
)
def test_a_demonstration_may_be_a_text_or_messages(value: Any) -> None:
    """The last one counts."""
    assert said(value) == "So."
