"""A sentence becomes a vector, in process, on one CPU thread, without downloads.

The model is the one that retrieval and safety read with, bge-small-en-v1.5 (``router.embed``): the
vector of its first token is what a sentence means, and its table of word embeddings says what the
words alone mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from router.embed import weights
from router.embed.layers import Layers, Vector

_FORMAT = "3"
"""Raised when vectors change although model and settings do not: heads are trained anew."""
MAX_READ = 64
_WORDS = "embeddings.word_embeddings.weight"


class EncoderMissing(Exception):
    """The encoder's package or its files are not there; the message says what to do."""


class Encoder(Protocol):
    """Text to vectors: a cheap one from the words alone, and one of the whole sentence."""

    @property
    def name(self) -> str:
        """Which encoder, with everything that its vectors depend on."""

    @property
    def width(self) -> int:
        """How many numbers a vector has."""

    def read(self, text: str) -> list[int]:
        """The text's word pieces; of a long text ``MAX_READ``, half of its head, half its tail."""

    def glance(self, pieces: Sequence[int]) -> Vector:
        """What the words say without their sentence: in microseconds, ``2 * width`` numbers."""

    def encode(self, pieces: Sequence[int]) -> Vector:
        """What the sentence means: a vector of length 1, in milliseconds."""


class SentenceEncoder:
    """bge-small-en-v1.5 on ONNX Runtime, int8, one thread.

    Of a long text the head and the tail are looked at: questions stand at the beginning or at the
    end of a long message. The time of a call grows with the tokens, so only the ``max_tokens``
    rarest of them go through the layers, in their order: leaving out "I", "the" and "to" loses
    much less than cutting the text off (measured: docs/decisions/0008-intent-encoder.md).

    Args:
        max_tokens: word pieces that go through the layers.
        root: where the models' directories are; default: in the installed package.
        layers: what they go through; shared with whoever else reads texts.
    """

    def __init__(
        self, max_tokens: int, root: Path | None = None, layers: Layers | None = None
    ) -> None:
        self._layers = layers or Layers(root)
        try:
            self._layers.load()
            self._tokenizer = weights.tokenizer(weights.BGE_SMALL, root)
            self._words = _Words(weights.read(weights.BGE_SMALL, weights.MODEL, root))
        except (ImportError, weights.ModelMissing) as error:
            raise EncoderMissing(
                f"The intent encoder cannot be loaded: {error} Or declare intents by keywords only."
            ) from error
        self._max_tokens = max_tokens
        digest = weights.SHA256[weights.BGE_SMALL, weights.MODEL][:12]
        self._name = f"bge-small-en-v1.5/int8.{_FORMAT}/{max_tokens}/{digest}"

    @property
    def name(self) -> str:
        """The model, its arithmetic, its token limit and its weights."""
        return self._name

    @property
    def width(self) -> int:
        """384."""
        return self._words.width

    def read(self, text: str) -> list[int]:
        """The text's word pieces, with the marks of its beginning and end."""
        # A text from a file may have half of a pair of surrogates, which no tokenizer takes.
        plain = text if text.isascii() else text.encode("utf-8", "replace").decode()
        pieces: list[int] = self._tokenizer.encode(plain).ids
        if len(pieces) <= MAX_READ:
            return pieces
        return pieces[: MAX_READ // 2] + pieces[-MAX_READ // 2 :]

    def glance(self, pieces: Sequence[int]) -> Vector:
        """The mean of the words' embeddings, and the mean product of each with its successor."""
        words = self._words.of(pieces)
        pairs = words[:-1] * words[1:]
        return np.concatenate([words.mean(axis=0), pairs.mean(axis=0)])

    def encode(self, pieces: Sequence[int]) -> Vector:
        """The last layer's vector of the first token, scaled to length 1; read-only."""
        return self._layers.vector(_rarest(pieces, self._max_tokens))


class Once:
    """An encoder that reads one text, and that once, whoever asks.

    Attributes:
        vector: what the text means; None as long as nobody had to know.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._read: list[int] | None = None
        self.vector: Vector | None = None

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
        if self._read is None:
            self._read = self._encoder.read(text)
        return self._read

    def glance(self, pieces: Sequence[int]) -> Vector:
        """What its words say."""
        return self._encoder.glance(pieces)

    def encode(self, pieces: Sequence[int]) -> Vector:
        """What it means."""
        if self.vector is None:
            self.vector = self._encoder.encode(pieces)
        return self.vector


class _Words:
    """The model's word embeddings as its file has them: a byte a number, one scale for all."""

    def __init__(self, raw: bytes) -> None:
        import onnx
        from onnx import numpy_helper

        found: dict[str, Any] = {
            each.name: numpy_helper.to_array(each)
            for each in onnx.load_from_string(raw).graph.initializer
            if each.name.startswith(_WORDS)
        }
        self._table = found[f"{_WORDS}_quantized"]
        plain = np.zeros(self._table.shape[1], np.float64)
        for start in range(0, len(self._table), 4096):
            plain += self._table[start : start + 4096].sum(axis=0, dtype=np.float64)
        self._centre = (plain / len(self._table)).astype(np.float32)
        self._spread = float(self._table[::16].std())

    @property
    def width(self) -> int:
        """Numbers of each word."""
        return int(self._table.shape[1])

    def of(self, pieces: Sequence[int]) -> Vector:
        """A row for each, centred and of spread 1 over the vocabulary."""
        rows: Vector = self._table[list(pieces)].astype(np.float32)
        return (rows - self._centre) / np.float32(self._spread)


def _rarest(pieces: Sequence[int], most: int) -> Sequence[int]:
    """The rarest pieces, in their order, with the first and the last one, which are marks.

    BERT's vocabulary is ordered by frequency, with punctuation before all words.
    """
    excess = len(pieces) - most
    if excess <= 0:
        return pieces
    inner = range(1, len(pieces) - 1)
    dropped = set(sorted(inner, key=pieces.__getitem__)[:excess])
    return [piece for index, piece in enumerate(pieces) if index not in dropped]
