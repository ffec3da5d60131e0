"""An encoder whose vectors follow from the words by a rule: no model, the same everywhere."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from router.embed.layers import Vector


class FakeEncoder:
    """A text's vector is the mean of a fixed random vector per word.

    Attributes:
        encoded: how many sentences were read.
    """

    def __init__(self, width: int = 64) -> None:
        self.encoded = 0
        self._width = width

    @property
    def name(self) -> str:
        """A name."""
        return f"fake/{self._width}"

    @property
    def width(self) -> int:
        """Of a vector."""
        return self._width

    def read(self, text: str) -> list[int]:
        """A number per word."""
        return [zlib.crc32(word.encode(errors="replace")) for word in text.lower().split()] or [0]

    def glance(self, pieces: Sequence[int]) -> Vector:
        """The mean, twice."""
        mean = self._mean(pieces)
        return np.concatenate([mean, mean])

    def encode(self, pieces: Sequence[int]) -> Vector:
        """The mean, of length 1."""
        self.encoded += 1
        mean = self._mean(pieces)
        scaled: Vector = mean / np.float32(np.linalg.norm(mean))
        return scaled

    def _mean(self, pieces: Sequence[int]) -> Vector:
        words = [np.random.default_rng(piece).normal(size=self._width) for piece in pieces]
        return np.asarray(np.mean(words, axis=0), np.float32)
