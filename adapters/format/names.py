"""The grammar of aliases, digests and pinned names. Everything that becomes a path passes here."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from adapters.aliases import DIGEST_PREFIX_LENGTH
from adapters.errors import BadName

ALIAS_PATTERN = r"[a-z0-9][a-z0-9._-]{0,62}"
RESERVED_ALIASES = frozenset({"auto", "base", "frontier"})
"""Mean something else in a request's ``model`` or in a target, whatever is configured."""

_ALIAS = re.compile(ALIAS_PATTERN)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(rf"[0-9a-f]{{{DIGEST_PREFIX_LENGTH}}}")
_SHOWN_CHARACTERS = 80


class Pinned(NamedTuple):
    """A version as clients pin it: the alias and the first 12 hex digits of its digest."""

    alias: str
    digest_prefix: str


def validate_alias(alias: str) -> str:
    """Return ``alias`` unchanged, or raise ``BadName`` (code ``bad-alias``)."""
    if _ALIAS.fullmatch(alias) is None:
        raise BadName(
            f"{_shown(alias)} is not an alias ({ALIAS_PATTERN})",
            code="bad-alias",
            remedy="Choose a name of lower-case letters, digits, dots, dashes and underscores.",
        )
    return alias


def means_otherwise(alias: str, taken: Collection[str], base: str | None) -> str | None:
    """Why a name cannot be an alias: it means something else in a request; None: it can.

    Args:
        alias: the name.
        taken: names of providers and virtual models.
        base: the base's id, as far as it is known.
    """
    if alias in RESERVED_ALIASES:
        return f"{alias!r} is reserved"
    if alias in taken:
        return f"{alias!r} is a provider or a virtual model"
    return f"{alias!r} is the base" if alias == base else None


def validate_digest(digest: str) -> str:
    """Return a full digest (64 lower-case hex digits) unchanged, or raise ``BadName``."""
    if _DIGEST.fullmatch(digest) is None:
        raise BadName(
            f"{_shown(digest)} is not a digest",
            code="bad-digest",
            remedy="Give all 64 lower-case hexadecimal digits of the SHA-256.",
        )
    return digest


def parse_pinned(name: str) -> Pinned:
    """Split ``alias@digest12``, or raise ``BadName`` (code ``bad-pinned-name``, ``bad-alias``)."""
    alias, at, prefix = name.partition("@")
    if not at or _PREFIX.fullmatch(prefix) is None:
        raise BadName(
            f"{_shown(name)} is not a pinned name",
            code="bad-pinned-name",
            remedy=f"Write alias@digest with {DIGEST_PREFIX_LENGTH} hexadecimal digits.",
        )
    return Pinned(validate_alias(alias), prefix)


def _shown(value: str) -> str:
    return repr(value[:_SHOWN_CHARACTERS])
