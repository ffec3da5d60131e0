"""A text becomes a vector: texts that mean alike get vectors that point alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from router.embed import weights
from router.embed.layers import WIDTH, Layers, Vector

MAX_PIECES: Final = 512
"""Word pieces of a text that are read; the model was trained on no more."""


class Encoder(Protocol):
    """Texts to vectors of length 1. Blocks; safe in several threads."""

    @property
    def name(self) -> str:
        """Which model, with everything that its vectors depend on."""
        ...

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        ...

    def count(self, text: str) -> int:
        """The text's word pieces, in the model's own count."""
        ...

    def encode(self, texts: Sequence[str]) -> Vector:
        """One row a text, as (texts, width)."""
        ...


class BgeSmall:
    """bge-small-en-v1.5, int8, with the vector of its first token, as it was trained.

    One text at a time: int8 activations are scaled by the batch that they are in, so that in a
    batch a text's vector would depend on its neighbours, and padding made batches of 8 slower than
    single texts (22 against 17 ms for 163 pieces on one core). Loads 35 MB with the first text.

    Args:
        root: where the models' directories are; default: in the installed package.
        max_pieces: of a text that are read.
        layers: what its pieces go through; shared with whoever else reads texts.
    """

    def __init__(
        self,
        root: Path | None = None,
        max_pieces: int = MAX_PIECES,
        layers: Layers | None = None,
    ) -> None:
        self._root = root
        self._max_pieces = max_pieces
        self._layers = layers or Layers(root)

    @property
    def name(self) -> str:
        """The model, its arithmetic and its weights."""
        digest = weights.SHA256[weights.BGE_SMALL, weights.MODEL][:12]
        return f"bge-small-en-v1.5/int8/cls/{self._max_pieces}/{digest}"

    @property
    def width(self) -> int:
        """384."""
        return WIDTH

    def count(self, text: str) -> int:
        """Without the marks of beginning and end."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, texts: Sequence[str]) -> Vector:
        """What each text means. Raises ``ModelMissing``."""
        found = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            pieces = self._tokenizer.encode(text).ids[: self._max_pieces]
            found[row] = self._layers.vector(pieces)
        return found

    @cached_property
    def _tokenizer(self) -> Any:
        return weights.tokenizer(weights.BGE_SMALL, self._root)
