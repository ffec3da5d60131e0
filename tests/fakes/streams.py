"""Reading what a stream said."""

from __future__ import annotations

from typing import Any

from router.wire.events import Events


def objects(raw: bytes) -> list[dict[str, Any] | None]:
    """The events' JSON, in order; None stands for ``[DONE]``. Raises ``ValueError``."""
    return [event.object() for event in Events(raw) if event.data]
