"""What no model gets: characters that only hide something from whoever reads along."""

from __future__ import annotations

from collections import Counter
from typing import Any

from router.wire.characters import without_harmful
from router.wire.texts import Path, Survey, replace, survey


def cleaned(body: dict[str, Any], found: Survey) -> tuple[dict[str, Any], Survey, tuple[str, ...]]:
    """The body without them, what its texts are now, and how many there were, in words.

    Args:
        body: decoded.
        found: what its texts are.
    """
    changes: dict[Path, str] = {}
    counts: Counter[str] = Counter()
    for text in found.texts:
        kept, removed = without_harmful(text.text)
        if removed:
            changes[text.path] = kept
            counts.update(removed)
    if not changes:
        return body, found, ()
    clean = replace(body, changes)
    return clean, survey(clean), tuple(f"{n} {kind} characters" for kind, n in counts.items())
