"""Words that names are made of: written down for this purpose, in ``made.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

_MADE: Final[dict[str, str]] = json.loads((Path(__file__).parent / "made.json").read_text())


def made(kind: str) -> list[str]:
    """The words or names of a kind."""
    return _MADE[kind].split("|")


PREFIXES: Final = made("prefixes")
DEMONYMS: Final = made("demonyms")
FIRMS: Final = made("firms")
ALONE: Final = made("alone")
JOBS: Final = made("jobs")
PLAIN: Final = made("plain")
LOCALES: Final = made("locales")
STATES: Final = made("states")
UNITS: Final = made("units")
CHAT: Final = made("chat")
"""What people type to shops and banks that no dictionary has."""
BEFORE: Final = made("before")
"""What stands before a street's name in some languages."""
AFTER: Final = made("after")
"""What ends a street's name in some languages."""
ENGLISH: Final = made("roads")
ROADS: Final = [*ENGLISH, *BEFORE, *AFTER]
