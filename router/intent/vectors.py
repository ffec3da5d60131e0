"""Vectors of examples; those of many are kept on disk, so that a start is quick."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.atomic import sweep, writing
from router.embed.layers import Vector
from router.intent.encoder import Encoder

_MIN_TEXTS = 256
"""Fewer are encoded in about a second: not worth a file."""


class VectorCache:
    """One file per encoder and set of texts in a folder; the newest are kept."""

    def __init__(self, folder: Path, keep: int = 8) -> None:
        self._folder = folder
        self._keep = keep

    def encode(self, encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors, one row per text; read from the folder when they are there."""
        if len(texts) < _MIN_TEXTS:
            return encode_all(encoder, texts)
        path = self._folder / f"{_key(encoder, texts)}.npy"
        found = _kept(path, (len(texts), encoder.width))
        if found is not None:
            return found
        vectors = encode_all(encoder, texts)
        with contextlib.suppress(OSError):  # a full or read-only disk costs time, not the start
            self._write(path, vectors)
        return vectors

    def _write(self, path: Path, vectors: NDArray[np.float32]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        sweep(self._folder)
        with writing(path, durable=False) as draft, draft.open("wb") as file:
            np.save(file, vectors, allow_pickle=False)
        files = sorted(self._folder.glob("*.npy"), key=lambda old: old.stat().st_mtime)
        for old in files[: -self._keep]:
            old.unlink(missing_ok=True)


class Remembering:
    """An encoder that knows what it read in the last training: most examples come again.

    In memory, and of the last training only: what is erased is forgotten with the next one.
    """

    def __init__(self, encoder: Encoder, before: Remembering | None = None) -> None:
        self._encoder = encoder
        self._before = {} if before is None else before.known
        self.known: dict[tuple[int, ...], Vector] = {}

    @property
    def name(self) -> str:
        """The encoder's."""
        return self._encoder.name

    @property
    def width(self) -> int:
        """The encoder's."""
        return self._encoder.width

    def read(self, text: str) -> list[int]:
        """The text's word pieces."""
        return self._encoder.read(text)

    def glance(self, pieces: Sequence[int]) -> Vector:
        """What the words say without their sentence."""
        return self._encoder.glance(pieces)

    def encode(self, pieces: Sequence[int]) -> Vector:
        """What the sentence means."""
        key = tuple(pieces)
        found = self.known.get(key)
        if found is None:
            found = self._before.get(key)
            if found is None:
                found = self._encoder.encode(pieces)
            self.known[key] = found
        return found

    def forget_before(self) -> None:
        """The training is over: only what it read is kept."""
        self._before = {}


def _kept(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """What a file has, if it is whole: after a crash it may be empty or cut."""
    try:
        with path.open("rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):  # type: ignore[no-untyped-call]
                return None
            told = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
            if told != (shape, False, np.dtype(np.float32)):
                return None
            raw = file.read()
    except (OSError, ValueError):
        return None
    if len(raw) != shape[0] * shape[1] * 4:
        return None
    found: NDArray[np.float32] = np.frombuffer(raw, np.float32).reshape(shape)
    return found if np.isfinite(found).all() else None


def encode_all(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors, one row per text."""
    if not texts:
        return np.zeros((0, encoder.width), np.float32)
    return np.stack([encoder.encode(encoder.read(text)) for text in texts])


def glance_all(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """The cheap vectors, one row per text."""
    if not texts:
        return np.zeros((0, 2 * encoder.width), np.float32)
    return np.stack([encoder.glance(encoder.read(text)) for text in texts])


def _key(encoder: Encoder, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(encoder.name.encode())
    for text in texts:
        digest.update(b"\0" + text.encode(errors="surrogatepass"))
    return digest.hexdigest()[:32]
