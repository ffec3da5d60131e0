"""An index, a library and a stage over it, with models that cost nothing: words are the meaning."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from router.context.documents.model import Chunk, Document, Passage
from router.context.documents.words import keywords, stem
from router.embed.layers import Vector

WIDTH = 64


class WordEncoder:
    """A text's vector counts its words: texts with the same words point alike.

    Attributes:
        encoded: every text that a vector was made of, oldest first.
    """

    name = "words"
    width = WIDTH

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def count(self, text: str) -> int:
        """Its words."""
        return len(text.split())

    def encode(self, texts: Sequence[str]) -> Vector:
        """One row a text."""
        self.encoded += texts
        found = np.zeros((len(texts), WIDTH), np.float32)
        for row, text in enumerate(texts):
            for word in keywords(text):
                found[row, zlib.crc32(stem(word).encode()) % WIDTH] += 1
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
        return found


class NoReranker:
    """Has no time."""

    def scores(self, _question: str, _texts: Sequence[str], _deadline: float) -> list[float]:
        """None of them."""
        return []

    def load(self) -> None:
        """There is nothing to load."""


def document(
    name: str, texts: Sequence[str], encoder: WordEncoder, **more: object
) -> tuple[Document, list[Chunk]]:
    """A document and its chunks as an index takes them."""
    vectors = encoder.encode(list(texts))
    chunks = [Chunk(text, vector) for text, vector in zip(texts, vectors, strict=True)]
    said = {"tenant": "acme", "collection": "manuals", "subject": None, **more}
    own = Document(
        name,
        str(said["tenant"]),
        str(said["collection"]),
        str(said.get("title", name)),
        "text/plain",
        time.time(),
        len(chunks),
        sum(encoder.count(text) for text in texts),
        None if said["subject"] is None else str(said["subject"]),
        {},
    )
    return own, chunks


def everybody_writes(work: Callable[[], object]) -> None:
    """This process is the one writer."""
    work()


def passages(texts: Sequence[str]) -> list[Passage]:
    """Passages of as many documents, best first."""
    return [
        Passage(f"d{number}", 0, f"Title {number}", text, 1 - number / 100)
        for number, text in enumerate(texts)
    ]


def files_of(directory: Path) -> bytes:
    """All bytes of all files below a directory."""
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def pdf(stream: bytes, kids: bytes = b"3 0 R", *, flate: bool = False) -> bytes:
    """A PDF of one page that draws this."""
    said = b"/Filter/FlateDecode" if flate else b""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count 1>>" % kids,
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<<%s/Length %d>>stream\n%s\nendstream" % (said, len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    made, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return (
        made
        + b"xref\n0 %d\n0000000000 65535 f \n" % size
        + table
        + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, len(made))
    )
