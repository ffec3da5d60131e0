"""JSON and text files inside strings: read, changed, and otherwise left as they were written."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.inner import TextFile
from router.wire.kinds import Kind
from router.wire.texts import Text, rewrite, texts

MAIL = "ann@example.org"
CSV = f"name,mail\nAnn,{MAIL}\n" * 4


def encoded(content: bytes) -> str:
    """Base64."""
    return base64.b64encode(content).decode()


BYTES = encoded(CSV.encode())
SOURCE = {"type": "base64", "media_type": "text/csv", "data": BYTES}
FILES = (
    {"type": "file", "file": {"filename": "a", "file_data": f"data:text/csv;base64,{BYTES}"}},
    {"type": "input_file", "file_data": f"data:text/plain,{CSV}"},
    {"type": "document", "source": SOURCE},
    {"type": "image_url", "image_url": {"url": f"data:image/svg+xml;base64,{BYTES}"}},
)


def without_mail(text: Text) -> str:
    """What a target may see."""
    return text.text.replace(MAIL, "[EMAIL_1]")


@pytest.mark.parametrize("part", FILES)
def test_a_text_in_an_encoded_file_is_read_and_changed(part: dict[str, object]) -> None:
    """And is no turn of the user's, whatever it says."""
    body = {"messages": [{"role": "user", "content": [part]}]}
    found = [text for text in texts(body) if MAIL in text.text]
    assert [text.kind for text in found] == [Kind.FILE]
    changed = rewrite(body, without_mail)
    assert MAIL not in json.dumps(changed)
    read = [text.text for text in texts(changed) if text.kind is Kind.FILE]
    assert read == [CSV.replace(MAIL, "[EMAIL_1]")]
    assert rewrite(body, lambda text: text.text) is body


@pytest.mark.parametrize(
    "content",
    [b"%PDF-1.4 text" * 9, b"\x89PNG\r\n\x1a\n" * 9, b"\xff\xd8\xff\xe0" * 20, b"a\x00b" * 40],
)
def test_other_files_are_left_alone(content: bytes) -> None:
    """Pictures and documents of other forms are not texts."""
    assert TextFile.read(f"data:application/octet-stream;base64,{encoded(content)}") is None


@given(st.text())
def test_what_a_file_says_comes_back(text: str) -> None:
    """Whatever it is, also in another text's place."""
    if not text or "\x00" in text or text.startswith("%PDF"):
        return
    value = f"data:text/plain;base64,{encoded(text.encode())}"
    file = TextFile.read(value)
    assert file is not None
    assert file.text == text
    assert file.saying(text) == value


def test_json_in_a_string_keeps_its_form_where_nothing_changed() -> None:
    """Spaces, escapes and the order of keys."""
    raw = '{ "to" : "ann@example.org",  "caf\\u00e9": [1, 2.50, "x"] }'
    call = {"type": "function", "id": "c", "function": {"name": "f", "arguments": raw}}
    body = {"messages": [{"role": "assistant", "tool_calls": [call]}]}
    changed = rewrite(body, without_mail)
    found = changed["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert found == raw.replace(MAIL, "[EMAIL_1]")


def test_a_long_number_in_a_tools_arguments_is_a_text() -> None:
    """A card is a card without quotation marks."""
    raw = '{"card": 4111111111111111, "small": 41}'
    call = {"type": "function", "id": "c", "function": {"name": "f", "arguments": raw}}
    body = {"messages": [{"role": "assistant", "tool_calls": [call]}]}
    said = [text.text for text in texts(body) if text.kind is Kind.ARGUMENTS]
    assert said == ["4111111111111111"]
    changed = rewrite(body, lambda text: text.text.replace("4111111111111111", "[CARD_1]"))
    found = changed["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert found == '{"card": "[CARD_1]", "small": 41}'
