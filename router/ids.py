"""Names for requests and decisions: random, and made without a system call for each."""

from __future__ import annotations

import os

_BYTES = 12
_AT_ONCE = 256


class Ids:
    """Draws from the system's randomness a few hundred at a time. Belongs to one event loop."""

    def __init__(self) -> None:
        self._drawn = b""

    def new(self, prefix: str) -> str:
        """``<prefix>_`` and 24 hexadecimal digits."""
        if not self._drawn:
            self._drawn = os.urandom(_BYTES * _AT_ONCE)
        mine, self._drawn = self._drawn[:_BYTES], self._drawn[_BYTES:]
        return f"{prefix}_{mine.hex()}"
