"""Highest random weight: the same choice from the same names, without talking to each other.

Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998). When a name
leaves, only its own keys move.
"""

from __future__ import annotations

import hashlib


def weight(key: str, name: str) -> int:
    """How much ``name`` weighs for ``key``; uniform over names."""
    # The NUL keeps ("ab", "c") and ("a", "bc") apart.
    digest = hashlib.blake2b(f"{key}\0{name}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def share(key: str, name: str) -> float:
    """The weight as a number from 0 to below 1."""
    return weight(key, name) / 2**64
