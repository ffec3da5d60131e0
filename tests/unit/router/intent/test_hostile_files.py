"""Files that people, spreadsheets, crashes and attackers left: read, or refused with a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from router.config.auto import AutoConfig, IntentConfig
from router.intent.encoder import SentenceEncoder
from router.intent.examples import MAX_PAIRS, Example, IntentsInvalid, from_file, require_bounded
from router.intent.source import IntentSource
from router.intent.train import few_head
from router.intent.vectors import VectorCache
from tests.fakes.encoder import FakeEncoder

ROW = Example("hi there", "greet")


def written(path: Path, content: bytes) -> Path:
    """A file with it."""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"\xef\xbb\xbftext,intent\r\nhi there,greet\r\n"),
        ("a.csv", b"text,intent\nhi there, greet \n"),
        ("a.jsonl", b'\xef\xbb\xbf{"text": "hi there", "intent": "greet"}'),
    ],
    ids=["mark", "spaces", "mark-json"],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    """The mark at a file's beginning and spaces around a label are nobody's words."""
    assert from_file(written(tmp_path / name, content)) == [ROW]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", b"text,intnet\nhi there,greet\n", "line 2: .*an intent in one of"),
        ("a.jsonl", b'{"text": "hi there"}', "line 1: .*an intent in one of"),
        ("a.csv", b"text,intent\nhi there,none\n", "line 2: the name of an intent"),
        ("a.csv", b'text,intent\nhi there,"a\nb"\n', "line 2: the name of an intent"),
        ("a.csv", b"text,intent\nhi there," + b"x" * 257, "line 2: the name of an intent"),
        ("a.jsonl", b"[" * 100_000, "cannot be read"),
        ("a.jsonl", b'{"text": "a", "intent": ' + b"9" * 5000 + b"}", "cannot be read"),
        ("a.csv", "text,intent\na,b\n".encode("utf-16"), "cannot be read"),
        ("a.csv", b"text,intent\n" + b"x" * 200_000 + b",b\n", "cannot be read"),
    ],
    ids=["column", "field", "none", "lines", "long", "deep", "number", "utf-16", "huge"],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    """Always as a file that cannot be used: then the model in use stays."""
    with pytest.raises(IntentsInvalid, match=why) as refused:
        from_file(written(tmp_path / name, content))
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 2000,
        b"out_of_scope: [2024-13-45]",
        b"intents: [\x00]",
        b"intents: [{name: a, keywords: ['']}]",
        b"intents: [{name: none, keywords: [a]}]",
        b"out_of_scope: [' ']",
        b"out_of_scope: [" + b"1, " * 3000 + b"1]",
        "intents: []".encode("utf-16"),
    ],
    ids=["deep", "date", "zero", "keyword", "none", "blank", "many", "utf-16"],
)
async def test_no_intents_file_is_an_error_of_the_process(tmp_path: Path, content: bytes) -> None:
    """It is refused once, with a reason of a bounded length, and the model in use stays."""
    path = written(tmp_path / "intents.yaml", b"intents: [{name: hours, keywords: [open]}]")
    source = IntentSource(AutoConfig(intents_file=path), lambda _: FakeEncoder())
    before = source.current
    written(path, content)
    assert not await source.refresh()
    assert source.refused == 1
    assert source.current is before
    assert not await source.refresh()
    with pytest.raises(IntentsInvalid) as refused:
        IntentSource(AutoConfig(intents_file=path), lambda _: FakeEncoder())
    assert len(str(refused.value)) < 2000


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """Nobody waits for ever for who writes into it."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(IntentsInvalid, match="is not a file"):
        from_file(pipe)
    with pytest.raises(IntentsInvalid, match="is not a file"):
        IntentSource(AutoConfig(intents_file=pipe))


def test_another_column_in_the_intents_place_does_not_take_all_memory() -> None:
    """A label for each text: matrices of texts times labels would be 40 GB."""
    count = int(MAX_PAIRS**0.5)
    require_bounded([Example(str(n), str(n)) for n in range(count)])
    with pytest.raises(IntentsInvalid, match="really has intents"):
        require_bounded([Example(str(n), str(n)) for n in range(count + 1)])


async def test_a_change_while_a_file_is_read_is_seen(tmp_path: Path) -> None:
    """Also one of the intents file while it names a file of examples."""
    path, rows = tmp_path / "intents.yaml", tmp_path / "rows.csv"
    rows.write_text("text,intent\nwhen do you open,hours\n")
    path.write_text(json.dumps({"examples_file": "rows.csv"}))

    class Late(type(tmp_path)):  # type: ignore[misc]  # the running system's own kind of path
        """Somebody writes right after it was read."""

        def read_text(self, *args: str, **more: str) -> str:
            found: str = super().read_text(*args, **more)
            path.write_text(json.dumps({"intents": [{"name": "late", "keywords": ["late"]}]}))
            return found

    source = IntentSource(AutoConfig(intents_file=Late(path)), lambda _: FakeEncoder())
    assert source.current.names == {"hours"}
    assert await source.refresh()
    assert source.current.names == {"late"}


def _header(shape: str) -> bytes:
    told = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(told).to_bytes(2, "little") + told.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04zip",
        _header("(300, 64)") + b"cut",
        _header("(99999999999, 64)") + b"cut",
        _header("(64, 300)") + b"\0" * 300 * 64 * 4,
        _header("(300, 64)") + np.full((300, 64), np.nan, np.float32).tobytes(),
        _header("__import__('os')") + b"x",
    ],
    ids=["empty", "start", "zip", "cut", "huge", "turned", "numbers", "code"],
)
def test_vectors_that_a_crash_left_are_made_anew(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file, the start is only slower."""
    texts = [f"text number {n}" for n in range(300)]
    made = VectorCache(tmp_path).encode(FakeEncoder(), texts)
    (path,) = tmp_path.glob("*.npy")
    assert len(_header("(300, 64)")) == 128
    whole = path.read_bytes()
    path.write_bytes(content)
    encoder = FakeEncoder()
    assert np.array_equal(VectorCache(tmp_path).encode(encoder, texts), made)
    assert encoder.encoded == 300
    assert path.read_bytes() == whole


def test_half_of_a_character_is_read_as_unknown() -> None:
    """JSON can say it; no tokenizer takes it."""
    encoder = SentenceEncoder(32)
    head = few_head(encoder, [Example("a \ud800 b", "x"), Example("when do you open", "hours")])
    assert head.judge(encoder, "when do you open").intent == "hours"
    assert head.judge(encoder, "\ud800").confidence >= 0


@pytest.mark.parametrize("field", ["keywords", "examples"])
@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_a_blank_word_is_no_rule(field: str, blank: str) -> None:
    """It would stand in every text."""
    with pytest.raises(ValidationError, match="blank"):
        IntentConfig.model_validate({"name": "a", field: [blank]})


@pytest.mark.parametrize("name", ["", " a", "a\r\nx-header: b", "none", "Auto", "x" * 257])
def test_a_name_is_a_line(name: str) -> None:
    """It stands in headers, records and metrics."""
    with pytest.raises(ValidationError, match="name of an intent"):
        IntentConfig(name=name)
