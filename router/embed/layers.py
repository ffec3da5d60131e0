"""bge-small's layers: word pieces in, what they mean out. The same pieces go through them once.

Whoever asks what a text means (intents, difficulty, topics, retrieval, repeats) asks here, so that
a question that several of them read costs its milliseconds once. Exact: equal pieces have equal
vectors to the last bit, since each text goes through the layers alone.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from router.embed import weights

Vector = NDArray[np.float32]
WIDTH: Final = 384
KEPT: Final = 2048
"""Vectors that are remembered; 1.7 KB each with their keys, from which no text can be read."""
_TINY: Final = 1e-12


def key_of(text: str) -> bytes:
    """What a memory knows a text by: nobody's words stay in it."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Layers:
    """Loads 35 MB with the first text. Blocks; safe in several threads.

    Args:
        root: where the models' directories are; default: in the installed package.
        kept: how many vectors are remembered, those that were asked for last.
    """

    def __init__(self, root: Path | None = None, kept: int = KEPT) -> None:
        self._root = root
        self._kept = kept
        self._known: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def remembered(self) -> int:
        """Vectors that are remembered now."""
        return len(self._known)

    def load(self) -> None:
        """Read the model, if that was not done yet. Raises ``ModelMissing``."""
        _ = self._session

    def vector(self, pieces: Sequence[int]) -> Vector:
        """The last layer's vector of the first piece, scaled to length 1. Raises ``ModelMissing``.

        It is everybody's, and read-only.
        """
        ids = np.array([pieces], np.int64)
        key = hashlib.blake2b(ids.tobytes(), digest_size=16).digest()
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        found = self._run(ids)
        with self._lock:
            self._known[key] = found
            if len(self._known) > self._kept:
                self._known.popitem(last=False)
        return found

    def _run(self, ids: NDArray[np.int64]) -> Vector:
        given = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        first: Vector = self._session.run(None, given)[0][0, 0]
        found = first / max(float(np.linalg.norm(first)), _TINY)
        found.flags.writeable = False
        return found

    @cached_property
    def _session(self) -> Any:
        return weights.session(weights.BGE_SMALL, self._root)
