"""A question and a text together become a score: how well the text answers the question.

Slower than comparing vectors, and better: both are read at once. For a handful of candidates.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from router.embed import weights

MAX_PIECES: Final = 320
"""Word pieces of question and text together that are read."""


class Reranker(Protocol):
    """Scores texts against a question. Blocks; safe in several threads."""

    def scores(self, question: str, texts: Sequence[str], deadline: float) -> list[float]:
        """0 to 1 for each text, in order, as far as time allows: the rest of them has none.

        ``deadline``: by ``time.perf_counter``; no text is begun that would end after it.
        """
        ...

    def load(self) -> None:
        """Be ready for the first question. Raises ``ModelMissing``."""
        ...


class CrossEncoder:
    """ms-marco-MiniLM-L-12-v2, int8. Loads 35 MB with the first question."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._piece_s = 1e-4
        """Seconds that a word piece takes, learnt from the last calls."""

    def scores(self, question: str, texts: Sequence[str], deadline: float) -> list[float]:
        """The most relevant texts first, so that what is cut off by the time matters least."""
        session, tokenizer = self._session, self._tokenizer
        found: list[float] = []
        for text in texts:
            pair = tokenizer.encode(question, text)
            ids = pair.ids[:MAX_PIECES]
            began = time.perf_counter()
            if began + self._piece_s * len(ids) > deadline:
                break
            given = {
                "input_ids": np.array([ids], np.int64),
                "attention_mask": np.ones((1, len(ids)), np.int64),
                "token_type_ids": np.array([pair.type_ids[:MAX_PIECES]], np.int64),
            }
            logit = float(session.run(None, given)[0][0, 0])
            found.append(1 / (1 + float(np.exp(-logit))))
            took = (time.perf_counter() - began) / len(ids)
            self._piece_s += 0.2 * (took - self._piece_s)
        return found

    def load(self) -> None:
        """Read the model now and not with the first question. Raises ``ModelMissing``."""
        self.scores("is it loaded", ["it is"], time.perf_counter() + 60)

    @cached_property
    def _session(self) -> Any:
        return weights.session(weights.CROSS_ENCODER, self._root)

    @cached_property
    def _tokenizer(self) -> Any:
        return weights.tokenizer(weights.CROSS_ENCODER, self._root)
