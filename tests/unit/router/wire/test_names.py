"""Nothing of a body is seen by neither: what is no text is a name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.wire import words
from router.wire.names import LEAST_CHARS, literal, names
from router.wire.texts import survey

PLANTED = "ann.example@example.org"
_KNOWN = {"model"}
"""What has to be a known name."""
NUMBER = 4111111111111111
_KEYS = sorted(
    (
        words.PROTOCOL
        | words.MACHINERY
        | words.READ
        | words.DEFINITIONS
        | words.URLS
        | words.TOKENS
        | words.SCHEMA_WORDS
        | words.NAMED_SCHEMAS
        | words.DATA_OF_A_CALL
        | words.MEDIA
        | {"token_ids", "obfuscation", "thought_signature", "signature"}
        | {"metadata", "brand_new", "user", "name", "tool_calls", "function", "description"}
    )
    - _KNOWN
)
_TYPES = sorted(words.CALLS | words.RESULTS | words.IMAGES | words.KINDS.keys() | {"message"})


@st.composite
def _bodies(draw: st.DrawFn) -> dict[str, Any]:
    """One value somewhere, as a string or as a key."""
    value = draw(st.sampled_from([PLANTED, NUMBER, float(NUMBER)]))
    inner: Any = value if draw(st.booleans()) else {str(value): draw(st.sampled_from([1, "x"]))}
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 3)) == 0:
            inner = [inner]
        around: dict[str, Any] = {draw(st.sampled_from(_KEYS)): inner}
        if draw(st.booleans()):
            around.setdefault("type", draw(st.sampled_from(_TYPES)))
        inner = around
    return inner  # type: ignore[no-any-return]


@given(body=_bodies())
@example(body={"tools": [{"function": {"parameters": {"required": [PLANTED]}}}]})
@example(body={"tool_choice": {"function": {"name": PLANTED}}})
@example(body={"metadata": {PLANTED: "1"}})
@example(body={"tools": [{"function": {"parameters": {"pattern": f"^{PLANTED}$"}}}]})
@example(body={"tools": [{"function": {"parameters": {"pattern": [PLANTED]}}}]})
@example(body={"logit_bias": {"5": NUMBER}})
@example(body={"stream_options": {"x": [NUMBER]}})
@example(body={"previous_response_id": NUMBER})
@settings(max_examples=300, deadline=None)
def test_what_is_no_text_is_a_name(body: dict[str, Any]) -> None:
    """Wherever a value stands, somebody looks at it."""
    seen = [text.text for text in survey(body).texts] + list(names(body))
    assert any(PLANTED in each or str(NUMBER) in each for each in seen), orjson.dumps(body)


def test_words_are_no_names() -> None:
    """Nothing is looked for in an ordinary request."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {
        "model": "auto",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "temperature": 1,
        "stop": ["x"],
    }
    assert names(body) == ()


def test_ids_are_looked_at_once() -> None:
    """Long ones, and those of unusual letters; not what is encoded."""
    long = "x" * LEAST_CHARS
    body = {
        "messages": [
            {"role": "tool", "tool_call_id": long},
            {"role": "tool", "tool_call_id": long},
        ],
        "service_tier": "a b",
        "signature": long,
    }
    assert sorted(names(body)) == ["a b", long]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"^ann@example\.org$", "ann@example.org"),
        (r"^(?:ann@example\.org|x)$", "ann@example.org x"),
        (r"\bann\x40example\u002eorg\b", "ann@example.org"),
        (r"a+n\+n@(example)\.org", "a n+n@example.org"),
        (r"^[a-z\d.-]{2,9}\d\[x\]", "[x]"),
        (r"^\w+@\w+\.\w{2,}$", "@ . "),
    ],
)
def test_of_a_pattern_its_letters_are_read(pattern: str, said: str) -> None:
    """What stands for other letters is none."""
    assert " ".join(literal(pattern).split()) == " ".join(said.split())
