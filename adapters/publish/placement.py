"""Which replicas hold an alias: all of them, or k of n by rendezvous hashing.

Hashing the alias and not the version keeps a rollback on the replicas that still hold the previous
version, and a replica that comes or goes moves only its own share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def place(alias: str, replica_ids: Iterable[str], copies: int | None = None) -> tuple[str, ...]:
    """The replicas that should hold the alias, the preferred one first.

    ``copies`` None means every replica.
    """
    ranked = sorted(set(replica_ids), key=lambda replica: (_weight(alias, replica), replica))
    return tuple(ranked if copies is None else ranked[:copies])


def _weight(alias: str, replica_id: str) -> bytes:
    return hashlib.blake2b(f"{alias}\0{replica_id}".encode(), digest_size=8).digest()
