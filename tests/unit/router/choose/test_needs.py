"""What a body asks for, whatever shape it has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.prepare.parse import IMAGE_TOKENS, MESSAGE_TOKENS
from router.prepare.parse import read_needs as _read_needs
from router.request import Needs
from router.wire.texts import survey

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def read_needs(body: dict[str, Any]) -> Needs:
    """The needs of a body."""
    return _read_needs(body, survey(body))


def said(content: Any) -> dict[str, Any]:
    """A chat of one message."""
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (said("x" * 400), 100 + MESSAGE_TOKENS),
        (said("字" * 4), 3 + MESSAGE_TOKENS),
        ({"prompt": "x" * 40}, 10),
        ({"prompt": [1, 2, 3]}, 3),
        ({"input": "x" * 8, "instructions": "y" * 8}, 4),
        ({}, 0),
    ],
)
def test_tokens(body: dict[str, Any], tokens: int) -> None:
    """Four UTF-8 bytes are about a token; what cannot be read counts nothing."""
    assert read_needs(body).input_tokens == tokens


@pytest.mark.parametrize("kind", ["image", "image_url", "input_image"])
def test_pictures(kind: str) -> None:
    """A picture needs eyes, and counts as a picture however long its encoding is."""
    found = read_needs(said([{"type": kind, "image_url": {"url": "data:" + "x" * 90_000}}]))
    assert found.features == {"vision"}
    assert found.input_tokens < IMAGE_TOKENS + 10


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"response_format": {"type": "json_object"}}, "json_schema"),
        ({"text": {"format": {"type": "json_schema"}}}, "json_schema"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 3}, "logprobs"),
    ],
)
def test_features(fields: dict[str, Any], feature: str) -> None:
    """Each is recognised in the dialects that have it."""
    assert read_needs(fields).features == {feature}


@pytest.mark.parametrize(
    "fields",
    [{"tools": []}, {"response_format": {"type": "text"}}, {"logprobs": False}, {"tools": None}],
)
def test_what_asks_for_nothing(fields: dict[str, Any]) -> None:
    """An empty or neutral field needs nothing."""
    assert read_needs(fields).features == frozenset()


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_bound_on_the_answer(name: str) -> None:
    """By any of its names; nonsense is no bound."""
    assert read_needs({name: 7}).max_output_tokens == 7
    assert read_needs({name: 0}).max_output_tokens is None
    assert read_needs({name: "7"}).max_output_tokens is None


@given(st.dictionaries(st.sampled_from(["messages", "tools", "input", "text", "logprobs"]), JSON))
def test_any_body(body: dict[str, Any]) -> None:
    """Nothing that JSON can say makes it fail."""
    assert read_needs(body).input_tokens >= 0
