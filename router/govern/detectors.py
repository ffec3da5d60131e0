"""Which detectors look at requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router.config.governance import PERSONAL, SECRETS
from router.govern.detect import AwaitedDetector
from router.govern.detect.custom import custom
from router.govern.detect.names.tagger import ENTITIES
from router.govern.detect.patterns import Patterns
from router.govern.scan import Detectors

OF_NAMES: Final = frozenset(ENTITIES)


def detectors(
    names: AwaitedDetector | None = None, more: Mapping[str, str] | None = None
) -> Detectors:
    """Those that look at every request.

    Args:
        names: finds what only a sentence gives away.
        more: kinds of data that a configuration describes, and their patterns.

    Raises:
        BadPattern: one of these cannot be used.
    """
    patterns = Patterns(custom(more or {}))
    return Detectors(patterns, names, OF_NAMES if names is not None else frozenset())


_BY_FORM: Final = Patterns()


IN_IDS: Final = frozenset({"CREDIT_CARD", "CRYPTO", "EMAIL", "IBAN"})
"""What hardly any id is by chance; any long number is a telephone or some state's number."""


_OF_PERSONS: Final = SECRETS.union(PERSONAL)
"""What a person can be known by, and secrets."""


def holds_secret(name: str) -> bool:
    """Whether an id that a client gave is, or has in it, a key or a token."""
    return any(span.entity in SECRETS for span in _BY_FORM.find(name))


def holds_personal(name: str) -> bool:
    """Whether it is, or has in it, an address, or a number of a card or an account."""
    return any(span.entity in IN_IDS for span in _BY_FORM.find(name))


def kept_path(path: str) -> str:
    """A path as records, logs and traces may have it: what a step gives away stands for it."""
    return "/".join(map(kept_name, path.split("/")))


def kept_name(name: str) -> str:
    """A name that somebody typed, of a model or a collection, in the same way."""
    if name.isidentifier():
        return name
    found = [span.entity for span in _BY_FORM.find(name) if span.entity in _OF_PERSONS]
    return f"[{found[0]}]" if found else name
