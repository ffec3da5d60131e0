"""Paths as clients write them, and the path that was meant."""

from __future__ import annotations

import re
from collections.abc import Collection

_SLASHES = re.compile(r"/{2,}")
_TWICE = re.compile(r"^(?:/v1){2,}(?=/)")
_PREFIX = "/v1"


def canonical(path: str) -> str:
    """Without slashes twice or at the end, and without a ``/v1`` that a base URL has already."""
    single = _SLASHES.sub("/", path)
    return _TWICE.sub(_PREFIX, single).rstrip("/") or "/"


def meant(path: str, known: Collection[str]) -> str | None:
    """Which known path this one is a wrong spelling of; None when it is of none."""
    right = canonical(path)
    for guess in (right, _PREFIX + right, right.lower()):
        if guess != path and guess in known:
            return guess
    return None
