"""The one visitor of texts: sees all of them, changes what it sees, fails at nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.kinds import Kind
from router.wire.said import answer_text
from router.wire.texts import TooDeep, replace, rewrite, survey, texts

MARK = "zq"
"""No word of any protocol has it."""
SAID = st.text(alphabet='ab\n"{[é字 ', max_size=6).map(lambda text: MARK + text + MARK)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | SAID,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAID, inner, max_size=3),
    max_leaves=8,
)
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 9)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                """type role content text messages input tools arguments function logprobs source
                data url output delta properties name system image_url""".split()  # noqa: SIM905
            )
            | st.text(max_size=5),
            inner,
        )
        | st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    ["tool_use", "tool_result", "thinking", "function", "image", "message", "text"]
                )
            },
            optional={"input": inner, "content": inner, "text": inner, "function": inner},
        )
    ),
    max_leaves=16,
)
DATA = JSON.map(lambda found: orjson.dumps(found).decode())


def parts(kind: str) -> st.SearchStrategy[Any]:
    """Content as a string or as parts."""
    return SAID | st.lists(st.fixed_dictionaries({"type": st.just(kind), "text": SAID}), max_size=2)


def call(kind: str, field: str, data: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A tool call of Responses or Messages."""
    return st.fixed_dictionaries({"type": st.just(kind), "name": st.just("f"), field: data})


TOOL = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {
                "name": st.just("f"),
                "description": SAID,
                "parameters": st.fixed_dictionaries(
                    {
                        "type": st.just("object"),
                        "properties": st.fixed_dictionaries(
                            {"type": st.fixed_dictionaries({"type": st.just("string"),
                                                            "enum": st.lists(SAID, max_size=2),
                                                            "description": SAID})}
                        ),
                    }
                ),
            }
        ),
    }
)  # fmt: skip
CHAT = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["system", "developer", "user"])},
                optional={"content": parts("text"), "name": SAID},
            )
            | st.fixed_dictionaries(
                {
                    "role": st.just("assistant"),
                    "reasoning_content": SAID,
                    "tool_calls": st.lists(
                        st.fixed_dictionaries(
                            {
                                "type": st.just("function"),
                                "function": st.fixed_dictionaries(
                                    {"name": st.just("f"), "arguments": DATA | SAID}
                                ),
                            }
                        ),
                        max_size=2,
                    ),
                }
            )
            | st.fixed_dictionaries({"role": st.just("tool"), "content": DATA | parts("text")}),
            max_size=4,
        )
    },
    optional={"tools": st.lists(TOOL, max_size=2), "user": SAID, "x_new": JSON},
)
RESPONSES = st.fixed_dictionaries(
    {
        "input": SAID
        | st.lists(
            st.fixed_dictionaries({"role": st.just("user"), "content": parts("input_text")})
            | call("function_call", "arguments", DATA)
            | call("function_call_output", "output", DATA | parts("output_text"))
            | st.fixed_dictionaries(
                {
                    "type": st.just("reasoning"),
                    "summary": st.lists(
                        st.fixed_dictionaries({"type": st.just("summary_text"), "text": SAID})
                    ),
                }
            ),
            max_size=4,
        )
    },
    optional={"instructions": SAID, "metadata": st.dictionaries(st.just("k"), SAID)},
)
MESSAGES = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["user", "assistant"]),
                    "content": SAID
                    | st.lists(
                        st.fixed_dictionaries({"type": st.just("text"), "text": SAID})
                        | st.fixed_dictionaries({"type": st.just("thinking"), "thinking": SAID})
                        | call("tool_use", "input", JSON)
                        | call("tool_result", "content", DATA | parts("text"))
                        | st.fixed_dictionaries(
                            {
                                "type": st.just("document"),
                                "title": SAID,
                                "source": st.fixed_dictionaries(
                                    {"type": st.just("text"), "data": SAID}
                                ),
                            }
                        ),
                        max_size=3,
                    ),
                }
            ),
            max_size=3,
        )
    },
    optional={"system": parts("text"), "metadata": st.fixed_dictionaries({"user_id": SAID})},
)
REQUESTS = CHAT | RESPONSES | MESSAGES | st.fixed_dictionaries({"prompt": SAID | st.lists(SAID)})


@given(REQUESTS | ANY)
def test_replacing_by_the_same_changes_no_byte(body: Any) -> None:
    """What nobody changes is the very same object, JSON inside strings included."""
    assert rewrite(body, lambda text: text.text) is body
    assert rewrite(body, lambda text: (text.text + "x")[:-1]) is body


@given(REQUESTS)
def test_replacing_all_leaves_none(body: Any) -> None:
    """No text stays, whatever dialect, however deep inside strings; the original is untouched."""
    before = orjson.dumps(body)
    after = orjson.dumps(rewrite(body, lambda _: "-"))
    assert MARK.encode() not in after
    assert orjson.dumps(body) == before


@given(REQUESTS)
def test_a_path_can_be_written_back(body: Any) -> None:
    """Each path leads to its own text and to no other."""
    for text in texts(body):
        if text.kind is Kind.KEY:
            continue
        after = texts(replace(body, {text.path: "other"}))
        changed = [one for one in after if one.path == text.path]
        assert [one.text for one in changed] == ["other"]
        assert len(after) == len(texts(body))


@given(ANY, st.sampled_from(["", "assistant"]))
def test_no_shape_makes_it_fail(body: Any, role: str) -> None:
    """Whatever JSON says: all strings that are no protocol are found, and nothing is raised."""
    found = survey(body, role)
    rewrite(body, lambda text: text.text.upper(), role)
    answer_text(orjson.dumps(body), streamed=False)
    assert all(isinstance(text.text, str) for text in found.texts)


def test_what_is_nested_deeply_is_one_text_and_bounded() -> None:
    """It is neither missed nor followed; deeper than JSON can be written is refused."""
    deep: Any = MARK
    for _ in range(100):
        deep = [deep]
    body = {"messages": deep}
    [text] = texts(body)
    assert (text.kind, MARK in text.text) == (Kind.OPAQUE, True)
    assert MARK.encode() not in orjson.dumps(rewrite(body, lambda _: "x"))
    for _ in range(400):
        deep = [deep]
    with pytest.raises(TooDeep):
        texts({"messages": deep})


def roles(body: Any) -> list[tuple[str, str, str]]:
    """What was found: role, kind, text."""
    return [(text.role, text.kind.value, text.text) for text in texts(body)]


def test_who_says_what_in_chat() -> None:
    """Roles come from the messages, kinds from the places."""
    body = {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "rules"},
            {"role": "user", "name": "eva", "content": [{"type": "text", "text": "look"},
             {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:x"}}]},
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "function",
             "function": {"name": "f", "arguments": '{"who": "Max"}'}}]},
            {"role": "tool", "tool_call_id": "1", "content": '["Max"]'},
        ],
        "safety_identifier": "u7",
        "metadata": {"note": "n"},
    }  # fmt: skip
    assert roles(body) == [
        ("developer", "text", "rules"),
        ("user", "name", "eva"),
        ("user", "text", "look"),
        ("user", "file_name", "a.pdf"),
        ("assistant", "arguments", "Max"),
        ("assistant", "key", "who"),
        ("tool", "result", "Max"),
        ("", "identity", "u7"),
        ("", "other", "n"),
    ]


def test_who_says_what_in_messages_and_responses() -> None:
    """Blocks and items say it by their type."""
    blocks = [
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "found"}]},
        {"type": "text", "text": "and"},
    ]
    assert roles({"system": "rules", "messages": [{"role": "user", "content": blocks}]}) == [
        ("system", "text", "rules"),
        ("tool", "result", "found"),
        ("user", "text", "and"),
    ]
    items = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": '["c"]'},
        {"type": "function_call_output", "call_id": "1", "output": '{"a": "b"}'},
    ]
    assert roles({"instructions": "rules", "input": items}) == [
        ("system", "text", "rules"),
        ("assistant", "reasoning", "hm"),
        ("assistant", "arguments", "c"),
        ("tool", "result", "b"),
        ("tool", "key", "a"),
    ]


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ({"choices": [{"index": 0, "delta": {"content": "hi"}}]}, ("text", "hi")),
        ({"choices": [{"delta": {"reasoning_content": "hm"}}]}, ("reasoning", "hm")),
        ({"choices": [{"delta": {"tool_calls": [{"function": {"arguments": '{"a'}}]}}]},
         ("arguments", '{"a')),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}},
         ("text", "hi")),
        ({"type": "content_block_delta",
          "delta": {"type": "input_json_delta", "partial_json": '"B'}}, ("arguments", '"B')),
        ({"type": "response.output_text.delta", "delta": "hi", "item_id": "i"}, ("text", "hi")),
        ({"type": "response.refusal.delta", "delta": "no"}, ("refusal", "no")),
        ({"type": "response.function_call_arguments.delta", "delta": "{"}, ("arguments", "{")),
    ],
)  # fmt: skip
def test_events(event: Any, found: tuple[str, str]) -> None:
    """Each event's new text, in every dialect; the assistant says it."""
    [text] = texts(event, "assistant")
    assert (text.kind.value, text.text) == found
    assert text.role == "assistant"


def test_what_the_user_said() -> None:
    """A turn may have several parts; tool results are not the user's words."""
    body = {
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "x"},
            {"role": "user", "content": [{"type": "text", "text": "two"},
                                         {"type": "image_url", "image_url": {"url": "data:"}},
                                         "three", {"type": "tool_result", "content": "found"}]},
        ]
    }  # fmt: skip
    assert survey(body).user_turns() == ["one", "two\nthree"]
    assert survey({"prompt": ["a", "b"]}).user_turns() == ["a\nb"]
    assert survey({"messages": [{"role": "user", "content": ""}]}).user_turns() == []


def test_what_media_weighs() -> None:
    """Encoded bytes are counted, not read; a text document in the same place is read."""
    data = "iVBORw0KGgoA" * 100
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    note = {"type": "document", "source": {"type": "text", "data": "Dear Max"}}
    found = survey({"messages": [{"role": "user", "content": [image, note]}]})
    assert (found.images, found.inline_bytes) == (1, len(data))
    assert [text.text for text in found.texts] == ["Dear Max"]
