"""A file's text, read in a process of its own that may use little memory, little time, no network.

    python -P reading.py KIND < FILE > TEXT

It runs alone, by its path, without the rest of Graftwork: whatever a hostile file makes a library
do happens here, without secrets and without the right to write a file. What it wrote is plain text;
Markdown headings stand for a document's own. Exit code 3: the file cannot be read, and standard
error says why in one line.
"""

from __future__ import annotations

import csv
import io
import resource
import sys
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_S = 20
UNREADABLE = 3
MAX_TEXT_CHARS = 8_000_000
_MAX_UNPACKED = 128 * 1024 * 1024
_MAX_MEMBERS = 4096
_MAX_PAGES = 5000
_MAX_CELL_CHARS = 100_000
_SKIPPED_TAGS = frozenset({"script", "style", "template", "noscript", "svg", "head", "iframe"})
_BLOCK_TAGS = frozenset(
    tag
    for line in (
        "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form",
        "header hr li main nav ol p pre section table tr ul",
    )
    for tag in line.split()
)


class Unreadable(Exception):
    """The file is not what it says, or holds too much."""


def main() -> int:
    """Read standard input as the kind that the first argument names."""
    confine()
    try:
        text = READERS[sys.argv[1]](sys.stdin.buffer.read())
    except Unreadable as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("it needs too much memory")
    except RecursionError:
        return _fail("it is nested too deeply")
    except Exception:  # noqa: BLE001 - libraries raise what they like on broken files
        return _fail("it is damaged")
    if len(text) > MAX_TEXT_CHARS:
        return _fail(f"it has more than {MAX_TEXT_CHARS} characters of text")
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    return 0


def _fail(why: str) -> int:
    sys.stderr.write(" ".join(why.split())[:300])
    return UNREADABLE


def confine() -> None:
    """Bounds for this process; its parent adds one on the time that passes."""
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (bound, bound))


def plain(raw: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with a mark."""
    if b"\0" in raw and not raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("it is not text")
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError as error:
        raise Unreadable("its characters are in no known encoding") from error


def html(raw: bytes) -> str:
    """What a browser would show, without scripts and styles; headings as in Markdown."""
    from lxml import etree

    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True
    )
    root = etree.fromstring(plain(raw).encode(), parser)
    if root is None:
        return ""
    parts: list[str] = []
    skipped = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in _SKIPPED_TAGS:
            skipped += 1 if event == "start" else -1
        is_block = tag in _BLOCK_TAGS or tag in ("td", "th")
        is_heading = len(tag) == 2 and tag[0] == "h" and tag[1].isdigit()
        text = element.text if event == "start" else element.tail
        if event == "start" and is_heading:
            parts.append("\n\n" + "#" * min(6, int(tag[1])) + " ")
        elif tag == "br":
            parts.append("\n" if event == "start" else "")
        elif is_block or is_heading:
            parts.append("\t" if tag in ("td", "th") else "\n\n")
        if text and not skipped:
            parts.append(text if tag == "pre" else " ".join(text.split(" ")).replace("\n", " "))
    return "".join(parts)


def pdf(raw: bytes) -> str:
    """The text of a PDF's pages; of one that holds only pictures there is none."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("it is encrypted")
    pages: list[str] = []
    size = 0
    for number, page in enumerate(reader.pages):
        if number >= _MAX_PAGES:
            raise Unreadable(f"it has more than {_MAX_PAGES} pages")
        pages.append(page.extract_text() or "")
        size += len(pages[-1])
        if size > MAX_TEXT_CHARS:
            raise Unreadable(f"it has more than {MAX_TEXT_CHARS} characters of text")
    return "\n\n".join(pages)


def table(raw: bytes) -> str:
    """Each row of a CSV file as its cells under their columns' names."""
    text = plain(raw)
    csv.field_size_limit(_MAX_CELL_CHARS)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    try:
        return "\n\n".join(_rows(csv.reader(io.StringIO(text), dialect)))
    except csv.Error as error:
        raise Unreadable(f"it is not CSV: {error}") from error


def _rows(rows: Any) -> Iterator[str]:
    names: list[str] | None = None
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        if not any(cells):
            continue
        if names is None:
            names = cells
            continue
        yield "; ".join(
            f"{names[place]}: {cell}" if place < len(names) and names[place] else cell
            for place, cell in enumerate(cells)
            if cell
        )
    if names is not None:
        yield "columns: " + ", ".join(names)


def docx(raw: bytes) -> str:
    """A Word document's paragraphs and tables in their order, headings as in Markdown."""
    _check_zip(raw)
    import docx as library
    from docx.table import Table

    parts: list[str] = []
    for block in library.Document(io.BytesIO(raw)).iter_inner_content():
        if isinstance(block, Table):
            rows = ([cell.text for cell in row.cells if cell.text] for row in block.rows)
            parts += ["\t".join(row) for row in rows]
            continue
        style = (block.style.name if block.style is not None else "") or ""
        level = style.removeprefix("Heading ") if style.startswith("Heading ") else ""
        is_title = style == "Title"
        mark = "# " if is_title else "#" * min(6, int(level)) + " " if level.isdigit() else ""
        if block.text.strip():
            parts.append(mark + block.text)
    return "\n\n".join(parts)


def _check_zip(raw: bytes) -> None:
    """What it unpacks to, by its own table of contents; the unpacker holds it to that."""
    try:
        members = zipfile.ZipFile(io.BytesIO(raw)).infolist()
    except zipfile.BadZipFile as error:
        raise Unreadable("it is not a Word document") from error
    if len(members) > _MAX_MEMBERS or sum(each.file_size for each in members) > _MAX_UNPACKED:
        raise Unreadable("it unpacks to too much")


READERS: dict[str, Callable[[bytes], str]] = {
    "text": plain,
    "markdown": plain,
    "html": html,
    "pdf": pdf,
    "csv": table,
    "docx": docx,
}

if __name__ == "__main__":
    sys.exit(main())
