"""Tools that were offered and calls of them: what is one and the same, and what cannot be kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.corpus import merging
from adapters.corpus.folding import fold
from adapters.corpus.tools import (
    LEFT_OUT,
    MAX_BYTES,
    NO_FUNCTIONS,
    TOO_LARGE,
    arguments_of,
    call_of,
    calls_in,
    kept,
    offered,
    same_calls,
    written,
)
from adapters.review.offered import offered as candidates
from tests.fakes.corpus import exchange

FUNCTION: dict[str, Any] = {"name": "order", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
ASKED = [{"role": "user", "content": "Where is it?"}]
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(-9, 9)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
_ARGUMENTS = st.dictionaries(st.text(max_size=4), _JSON, max_size=4)


def _call(arguments: Any, name: str = "order") -> dict[str, Any]:
    return call_of(name, arguments)


@pytest.mark.parametrize("told", [{"tools": [TOOL]}, {"functions": [FUNCTION]}])
def test_tools_in_either_form_are_kept_as_functions(told: dict[str, Any]) -> None:
    """The elder form is another spelling."""
    assert kept(told) == {"tools": [TOOL]}
    assert offered(kept(told)).names == {"order"}
    assert kept({}) == {}


@pytest.mark.parametrize(
    "other",
    [
        {"type": "web_search"},
        {"type": "custom", "custom": {"name": "sql"}},
        {"type": "function"},
        {"type": "function", "function": {"name": 3}},
        {"type": "function", "function": {"name": "f", "parameters": "none"}},
        "order",
        None,
    ],
)
def test_what_is_no_function_is_marked_beside_those_that_are(other: Any) -> None:
    """A prompt in which it stood cannot be rendered again."""
    assert kept({"tools": [TOOL, other]}) == {"tools": [TOOL], LEFT_OUT: NO_FUNCTIONS}


def test_what_is_too_large_is_not_kept_and_marked() -> None:
    """All or nothing: with half of the tools it would be another prompt."""
    large = {**TOOL, "function": {**FUNCTION, "description": "ß" * (MAX_BYTES // 2)}}
    assert kept({"tools": [TOOL, large]}) == {LEFT_OUT: TOO_LARGE}
    deep: Any = {}
    for _ in range(5000):
        deep = {"properties": deep}
    bottomless = {"type": "function", "function": {"name": "f", "parameters": deep}}
    assert kept({"tools": [bottomless]}) == {LEFT_OUT: TOO_LARGE}
    assert offered(kept({"tools": [large]})).left_out == TOO_LARGE


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps([{"id": "c1", **call_of("order", {"id": 1})}]),
        '{"name": "order", "arguments": {"id":1}}',
        '[{"name": "order", "arguments": "{\\"id\\":1}"}]',
    ],
)
def test_calls_in_any_spelling_are_written_in_one(answer: str) -> None:
    """As providers, engines and reviewers write them."""
    assert written(calls_in(answer, {"order"})) == written([_call('{"id":1}')])


@pytest.mark.parametrize(
    "answer",
    [
        "It was sent.",
        "",
        "[]",
        "null",
        "3",
        "[" * 3000,
        '{"name": "order"}',
        '{"name": "other", "arguments": {}}',
        '{"name": ["order"], "arguments": {}}',
        '[{"name": "order", "arguments": {}}, {"name": "other", "arguments": {}}]',
    ],
)
def test_what_consists_of_anything_else_makes_no_calls(answer: str) -> None:
    """Calls of tools that were not offered included: those are an answer like any other."""
    assert calls_in(answer, {"order"}) == []
    assert calls_in('{"name": "order", "arguments": {}}', ()) == []


@given(_ARGUMENTS, st.randoms())
def test_calls_are_the_same_whatever_their_spaces_and_order(
    arguments: dict[str, Any], chance: Any
) -> None:
    """Canonical arguments; and calls of one answer have no order."""
    shuffled = [*arguments.items()]
    chance.shuffle(shuffled)
    ours = [_call(arguments), _call({"a": 1}, "other")]
    theirs = [_call('{"a":  1.0}', "other"), _call(json.dumps(dict(shuffled), indent=2))]
    assert same_calls(ours, theirs)
    assert calls_in(written(ours), {"order", "other"}) == ours


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([_call({"n": 1})], [_call({"n": True})]),
        ([_call({"n": 1})], [_call({"n": "1"})]),
        ([_call({"n": 1})], [_call({"n": 1}, "other")]),
        ([_call({"n": 1})], [_call({"n": 1}), _call({"n": 1})]),
        ([_call({"n": [1, 2]})], [_call({"n": [2, 1]})]),
        ([_call("{broken")], [_call("{}")]),
        ([], []),
    ],
)
def test_what_differs_is_not_the_same(ours: list[Any], theirs: list[Any]) -> None:
    """Names, values, how often; and nothing is no call."""
    assert not same_calls(ours, theirs)


def test_arguments_that_are_no_object_are_none() -> None:
    """No tool takes them; without any, there are none."""
    assert arguments_of(_call("")) == {}
    assert [arguments_of(_call(text)) for text in ("[1]", "{", "[" * 3000)] == [None] * 3


def test_what_json_cannot_hold_is_left_as_it_is() -> None:
    """Numbers beyond doubles, and half characters: nothing that no reader reads is written."""
    assert call_of("f", '{"a": 1e999}')["function"]["arguments"] == '{"a": 1e999}'
    assert arguments_of(call_of("f", '{"a": NaN}')) is None
    halved = calls_in('{"name": "order", "arguments": {"a": "\\ud800"}}', {"order"})
    assert written(halved).encode()


def test_a_candidate_that_calls_is_offered_in_one_spelling() -> None:
    """Where those tools were offered; one that calls what was called is no other answer."""
    shown = {"answer": json.dumps([{"id": "c", **_call({"id": 1})}], indent=1)}
    given = exchange("Where?", details={"tools": [TOOL], "demonstrations": [shown]})
    [candidate] = candidates(given)
    assert candidate.answer == written([_call({"id": 1})])
    same = replace(given, response=written([_call({"id": 1})]))
    assert candidates(same) == ()
    bare = exchange("Where?", details={"demonstrations": [shown]})
    assert candidates(bare)[0].answer == shown["answer"]


def test_the_same_asked_with_other_tools_is_another_exchange() -> None:
    """The prompt is another one; without tools it is folded as it ever was."""
    bare, tooled = fold("acme", ASKED), fold("acme", ASKED, tools=[TOOL])
    assert bare == fold("acme", ASKED, tools=())
    assert len({bare, tooled, fold("acme", ASKED, tools=[TOOL, TOOL])}) == 3


def test_calls_stay_with_the_answer_that_made_them() -> None:
    """A later answer to the same has its own, and is offered as what it calls."""
    calls = [_call({"id": 1})]
    before = exchange("Where?", response="One moment.", details={"tools": [TOOL]})
    again = exchange("Where?", response="I look.", details={"tools": [TOOL], "tool_calls": calls})
    known = merging.answers(before, again)
    assert "tool_calls" not in known
    assert [each["response"] for each in known["answers"]] == [written(calls)]
    assert merging.answers(again, before)["tool_calls"] == calls


def test_tools_that_details_have_no_room_for_are_marked() -> None:
    """Log-probabilities go first; when tools go, nothing can be learned from the rest."""
    held = {"tools": [TOOL], "answers": [{"target": "t", "response": "x" * 300_000}]}
    known = merging.details({}, held)
    assert ("tools" in known, known[LEFT_OUT]) == (False, TOO_LARGE)
    assert LEFT_OUT not in merging.details({}, {"tools": [TOOL], "logprobs": ["x" * 300_000]})
