"""From a file to its text: which kind it is, and a confined process that reads it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import unicodedata
from pathlib import Path
from typing import Final

from router.context.documents import reading

KINDS: Final = {
    "text": "text/plain",
    "markdown": "text/markdown",
    "html": "text/html",
    "pdf": "application/pdf",
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
"""What can be read, with its media type."""
_SUFFIXES: Final = {
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".csv": "csv",
    ".tsv": "csv",
    ".docx": "docx",
}
_TYPES: Final = {
    **{media: kind for kind, media in KINDS.items()},
    "text/x-markdown": "markdown",
    "application/xhtml+xml": "html",
    "text/tab-separated-values": "csv",
    "application/csv": "csv",
}
_BEGINNINGS: Final = {"pdf": (b"%PDF-",), "docx": (b"PK\x03\x04",)}
_TIMEOUT_S: Final = 30.0
_SPACES: Final = re.compile(r"[ \t\u00a0]+")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")


class UnknownKind(Exception):
    """Nobody here reads such files."""


class Unreadable(Exception):
    """The file is damaged, hostile, or holds no text."""


def kind_of(name: str, media_type: str, raw: bytes) -> str:
    """Which kind a file is: by its name, else by its media type. Raises ``UnknownKind``."""
    suffix = Path(name).suffix.lower()
    declared = media_type.partition(";")[0].strip().lower()
    kind = _SUFFIXES.get(suffix) or (_TYPES.get(declared) if not suffix else None)
    if kind is None:
        what = suffix or declared or "without a name"
        known = ", ".join(sorted(set(_SUFFIXES)))
        raise UnknownKind(f"files like {what[:40]!r} are not read; known: {known}")
    expected = _BEGINNINGS.get(kind)
    if expected and raw and expected[0] not in raw[:1024]:
        raise Unreadable(f"the file is no {kind.upper()}, whatever its name says")
    return kind


async def text_of(kind: str, raw: bytes, timeout_s: float = _TIMEOUT_S) -> str:
    """A file's text. Raises ``Unreadable``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-I",
        str(Path(reading.__file__)),
        kind,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # No secrets: nothing of our own environment.
        env={"LANG": "C.UTF-8"},
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, errors = await process.communicate(raw)
    except TimeoutError as error:
        raise Unreadable(f"it could not be read in {timeout_s:g} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == reading.UNREADABLE:
        # Libraries warn in lines of their own before it.
        *_, why = errors.decode("utf-8", "replace").splitlines() or [""]
        raise Unreadable(why)
    if process.returncode != 0:
        raise Unreadable("reading it took too much time or memory")
    text = cleaned(out.decode("utf-8", "replace"))
    if not text:
        raise Unreadable("it holds no text")
    return text


def cleaned(text: str) -> str:
    """Without control characters, needless space and empty lines; composed Unicode."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = "".join(
        char for char in text if char in _KEPT or unicodedata.category(char) not in _NOT_TEXT
    )
    lines = (_SPACES.sub(" ", line).rstrip() for line in text.split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


_NOT_TEXT: Final = frozenset({"Cc", "Cs", "Co", "Cf"})
"""Control, surrogate, private and invisible characters; the last ones hide text from a reader."""
_KEPT: Final = "\n\t\u200c\u200d"
"""Line ends, tabs, and the joiners that Persian, Indian scripts and emoji are spelled with."""
