"""How long a prompt token takes, and from that K at each load: learned from reports as they come.

A replica's busy seconds are those of its prompt tokens and of its generated ones:

    busy = a * prompt tokens + sum over loads L of b(L) * generated tokens

A prompt token takes as long at any load: prefill is bound by arithmetic. A generated one does not:
a step reads all weights once, for one request or for sixty. So there is one ``a``, found by least
squares beside a ``b`` for each band of load, over blocks of some busy seconds, the old ones fading.
Where prompts and answers keep one proportion nothing tells the two apart; then ``a`` is not known,
or stays as it was known last. With ``a`` known, what was left of the time is that of the generated
tokens, and K = b / a.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Container
from typing import Final

import numpy as np

from router.prices import Work

LOADS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The middle of each band: requests under way at once, by powers of two; the last one is open."""
LEAST: Final = 0.5
MOST: Final = 1000.0
"""K stays between these, whatever is counted. On an H100 a 7B model has 1.9 to 261."""
_EDGES: Final = tuple(load * math.sqrt(2) for load in LOADS[:-1])
_BLOCK_S: Final = 5.0
"""Busy seconds of one equation. A prompt counts when it was read: short blocks are mostly edges."""
_WINDOWS: Final = 6.0
"""``a`` is one of the model and its card: it fades so many times slower than prices do."""
_CERTAIN: Final = 0.2
"""``a`` is known when its standard error is at most this share of it."""
_SPARE: Final = 10
"""Equations beyond the number of unknowns before anything is believed."""
_NOISE: Final = 0.02
"""Least standard deviation of a block's seconds, as a share of them: nothing is measured better."""
_SIZE: Final = 1 + len(LOADS)


class TokenTimes:
    """Feeds on what replicas did between two reports. Belongs to the registry's event loop.

    Args:
        window_busy_s: busy seconds, of all replicas, after which what was done counts for 1/e.

    Attributes:
        prompt_token_s: seconds that a replica needs for a prompt token; None until it is known.
    """

    def __init__(self, window_busy_s: float) -> None:
        self._window_s = window_busy_s
        self.forget()

    def forget(self) -> None:
        """Begin anew: another base is served."""
        self.prompt_token_s: float | None = None
        self._blocks: dict[str, np.ndarray] = {}
        self._gram = np.zeros((_SIZE, _SIZE))
        self._moment = np.zeros(_SIZE)
        self._squares = 0.0
        self._equations = 0.0
        # Of each band: busy seconds, prompt tokens, generated tokens.
        self._done = np.zeros((len(LOADS), 3))

    def heard(self, replica: str, done: Work) -> None:
        """Take what a replica did since its last report."""
        if done.busy_s <= 0:
            return
        band = bisect_left(_EDGES, done.request_s / done.busy_s)
        what = (done.busy_s, done.input_tokens, done.output_tokens)
        self._done *= math.exp(-done.busy_s / self._window_s)
        self._done[band] += what
        block = self._blocks.setdefault(replica, np.zeros(1 + _SIZE))
        block[:2] += what[:2]
        block[2 + band] += done.output_tokens
        if block[0] >= _BLOCK_S:
            self._learn(self._blocks.pop(replica))

    def keep(self, alive: Container[str]) -> None:
        """Forget the unfinished blocks of replicas that are gone."""
        self._blocks = {i: block for i, block in self._blocks.items() if i in alive}

    def ratio(self, work: Work) -> float | None:
        """K of so much work: generated tokens cost what its prompt tokens leave of its time."""
        return self._ratio(work.busy_s, work.input_tokens, work.output_tokens)

    def by_load(self) -> dict[int, float]:
        """K by the load at which it was found, of those that were seen lately."""
        found = {
            load: self._ratio(*row)
            for load, row in zip(LOADS, self._done.tolist(), strict=True)
            if row[0] >= _BLOCK_S
        }
        return {load: ratio for load, ratio in found.items() if ratio is not None}

    def _ratio(self, busy_s: float, read: float, written: float) -> float | None:
        if self.prompt_token_s is None or written <= 0:
            return None
        left_s = busy_s - self.prompt_token_s * read
        return min(max(left_s / (self.prompt_token_s * written), LEAST), MOST)

    def _learn(self, block: np.ndarray) -> None:
        seconds, terms = float(block[0]), block[1:]
        # One long block says as much as a short one: errors grow with its length.
        weight = _BLOCK_S / seconds
        kept = math.exp(-seconds / (_WINDOWS * self._window_s))
        self._gram = kept * self._gram + weight**2 * np.outer(terms, terms)
        self._moment = kept * self._moment + weight**2 * seconds * terms
        self._squares = kept * self._squares + _BLOCK_S**2
        self._equations = kept * self._equations + 1
        if (found := self._solved()) is not None:
            self.prompt_token_s = found

    def _solved(self) -> float | None:
        """``a``, when the equations tell it."""
        used = np.flatnonzero(self._gram.diagonal() > 0)
        if 0 not in used or self._equations < len(used) + _SPARE:
            return None
        gram, moment = self._gram[np.ix_(used, used)], self._moment[used]
        # Columns of one length: tokens of one band are a thousand times those of another.
        scale = np.sqrt(gram.diagonal())
        inverse = np.linalg.pinv(gram / np.outer(scale, scale), rcond=1e-10, hermitian=True)
        times = inverse @ (moment / scale)
        left = max(0.0, self._squares - float(times @ (moment / scale)))
        noise = max(left / (self._equations - len(used)), (_NOISE * _BLOCK_S) ** 2)
        # pinv drops what it cannot tell apart: then what it says of ``a`` alone means nothing.
        told = float((inverse @ (gram / np.outer(scale, scale)))[0, 0])
        error = math.sqrt(noise * float(inverse[0, 0]))
        found = float(times[0])
        if told < 1 - 1e-6 or found <= 0 or error > _CERTAIN * found:
            return None
        return found / float(scale[0])
