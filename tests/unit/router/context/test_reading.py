"""Files of strangers: read in a confined process, refused when they are hostile, never fatal."""

from __future__ import annotations

import io
import time
import zipfile
import zlib

import docx
import pytest

from router.context.documents import reading
from router.context.documents.parsing import (
    UnknownKind,
    Unreadable,
    cleaned,
    kind_of,
    text_of,
)
from tests.fakes.documents import pdf

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def word(body: str | None = None, more: dict[str, bytes] | None = None) -> bytes:
    """A Word document, perhaps with another main part, or with more parts."""
    plain = io.BytesIO()
    made = docx.Document()
    made.add_heading("Limits", 1)
    made.add_paragraph("It lifts 14 metres.")
    made.add_table(1, 2).rows[0].cells[1].text = "cell"
    made.save(plain)
    packed = io.BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as to:
        for name in source.namelist():
            is_main = name == "word/document.xml" and body is not None
            to.writestr(name, body or "" if is_main else source.read(name))
        for name, raw in (more or {}).items():
            to.writestr(name, raw)
    return packed.getvalue()


def entities(depth: int) -> str:
    """A billion laughs."""
    inner = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol" * 10}">' for n in range(depth)
    )
    return (
        f'<?xml version="1.0"?><!DOCTYPE w [{inner}]><w:document xmlns:w="{_WORD}"><w:body>'
        f"<w:p><w:r><w:t>&l{depth - 1};</w:t></w:r></w:p></w:body></w:document>"
    )


def outside(uri: str) -> str:
    """A document that asks for a file of this machine."""
    return (
        f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY x SYSTEM "{uri}">]>'
        f'<w:document xmlns:w="{_WORD}"><w:body><w:p><w:r><w:t>left &x; right</w:t></w:r></w:p>'
        "</w:body></w:document>"
    )


async def test_every_kind_is_read_as_its_reader_would_see_it() -> None:
    """Headings as Markdown, cells under their columns' names, no scripts."""
    assert await text_of("docx", word()) == "# Limits\n\nIt lifts 14 metres.\n\ncell"
    html = (
        "<title>t</title><h2>Hä</h2><p>a <b>b</b>\nc<br>d</p><script>x()</script><style>y</style>"
    )
    assert await text_of("html", html.encode()) == "## Hä\n\na b c\nd"
    table = "name;price\nPump;12\n\nLid;3\n"
    assert "name: Pump; price: 12\n\nname: Lid; price: 3" in await text_of("csv", table.encode())
    assert await text_of("text", "grüße".encode("utf-16")) == "grüße"
    assert await text_of("text", "grüße".encode("cp1252")) == "grüße"
    drawn = b"BT /F1 12 Tf 20 100 Td (Lifts 14 metres) Tj ET"
    assert await text_of("pdf", pdf(drawn)) == "Lifts 14 metres"


@pytest.mark.parametrize(
    ("kind", "raw", "why"),
    [
        ("docx", b"PK\x03\x04 broken", "not a Word document"),
        ("docx", word(more={"x": b"\0" * 140_000_000}), "unpacks to too much"),
        ("docx", word(more={f"x{n}": b"" for n in range(5000)}), "unpacks to too much"),
        ("docx", word(entities(9)), "damaged"),
        ("pdf", b"%PDF-1.7 nothing", "damaged"),
        ("pdf", pdf(b"", kids=b"2 0 R"), "damaged|too much|no text"),
        (
            "pdf",
            pdf(zlib.compress(b"\0" * 400_000_000, 9), flate=True),
            "damaged|too much|no text|in 30 s",
        ),
        ("csv", b"a,b\n" + b'"' + b"x" * 200_000 + b'"', "not CSV"),
        ("html", b"<p>" * 200_000, "no text"),
        ("text", b"\0\1\2", "not text"),
        ("text", b"   \n\t ", "no text"),
    ],
    ids=[
        "no zip",
        "zip bomb",
        "zip of many",
        "entity bomb",
        "no pdf",
        "pages in a circle",
        "deflate bomb",
        "huge cell",
        "deep html",
        "binary",
        "empty",
    ],
)
async def test_a_hostile_file_is_refused_in_time(kind: str, raw: bytes, why: str) -> None:
    """Whatever it makes a library do, it does in a process that is bounded, and then gone."""
    began = time.monotonic()
    with pytest.raises(Unreadable, match=why):
        await text_of(kind, raw, timeout_s=30)
    assert time.monotonic() - began < 40


async def test_an_entity_does_not_read_a_file_of_this_machine() -> None:
    """Nor does it reach the network."""
    for uri in ("file:///etc/passwd", "http://127.0.0.1:9/"):
        try:
            text = await text_of("docx", word(outside(uri)))
        except Unreadable:
            continue
        assert "root:" not in text


async def test_what_takes_too_long_is_ended() -> None:
    """The process that reads is gone when its time is."""
    began = time.monotonic()
    with pytest.raises(Unreadable, match="could not be read in"):
        await text_of("text", b"a" * 30_000_000, timeout_s=0.01)
    assert time.monotonic() - began < 10


async def test_the_process_that_reads_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is empty but for the encoding, and it cannot write a file."""
    monkeypatch.setenv("FRONTIER_KEY", "sk-very-secret")
    script = (
        "import os, sys\nsys.argv=['x','text']\nassert 'FRONTIER_KEY' not in os.environ, 'leak'\n"
    )
    assert len(script) < reading.MAX_TEXT_CHARS
    assert "sk-very-secret" not in await text_of("text", script.encode())


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("a.MD", "application/octet-stream", "markdown"),
        ("a.htm", "", "html"),
        ("notes", "text/plain; charset=utf-8", "text"),
        ("t.tsv", "", "csv"),
    ],
)
def test_a_kind_is_known_by_name_then_by_media_type(name: str, media_type: str, kind: str) -> None:
    """The name decides where it has an ending."""
    assert kind_of(name, media_type, b"x") == kind


def test_what_nobody_reads_is_unknown_and_what_lies_about_its_kind_unreadable() -> None:
    """An ending that nobody knows is not saved by its media type."""
    for name, media_type in (("a.exe", "text/plain"), ("a", "image/png"), ("", "")):
        with pytest.raises(UnknownKind):
            kind_of(name, media_type, b"x")
    with pytest.raises(Unreadable, match="no PDF"):
        kind_of("a.pdf", "", b"<html>")


def test_hidden_characters_go_and_joiners_stay() -> None:
    """Text that no reader sees is no text; what words are spelled with is."""
    hidden = "a\u202eb\u200b\U000e0041c\x00\x1b"
    want = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert cleaned(f"{hidden}\r\n\r\n\r\n\r\nd {want}") == f"abc\n\nd {want}"
