"""Lines that somebody brings: whatever they are, they are read or said to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.corpus.bringing import BadLine, Brought
from router.capture.brought import brought

_NAMES = st.sampled_from(
    [
        "messages",
        "role",
        "content",
        "prompt",
        "completion",
        "request",
        "response",
        "body",
        "input",
        "choices",
        "message",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "output",
        "type",
        "instructions",
        "tools",
        "text",
        "metadata",
        "user",
        "object",
        "created",
        "status",
    ]
)
_WORDS = st.sampled_from(["user", "assistant", "tool", "function_call", "message", "response", "x"])
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=24,
)


@settings(max_examples=400, deadline=None)
@given(
    form=st.sampled_from(["openai_logs", "messages", "prompt_completion"]),
    line=st.dictionaries(_NAMES, _VALUES, max_size=5),
)
def test_any_line_is_read_or_refused(form: str, line: dict[str, Any]) -> None:
    """Hostile ones too."""
    try:
        found = brought(form, line)
    except BadLine:
        return
    assert isinstance(found, Brought)
    assert found.messages
    assert found.response.strip()


def test_a_time_may_be_a_number_or_iso() -> None:
    """As other parameters."""
    line: dict[str, Any] = {"prompt": "A?", "completion": "B."}
    assert brought("prompt_completion", {**line, "time": 5}).at == 5.0
    found = brought("prompt_completion", {**line, "timestamp": "1970-01-01T00:00:07Z"})
    assert found.at == 7.0
    with pytest.raises(BadLine):
        brought("prompt_completion", {**line, "time": "soon"})
