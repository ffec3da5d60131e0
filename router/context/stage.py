"""What the model sees. Retrieval and fitting to the target's window attach here."""

from __future__ import annotations

from typing import Any

from router.request import Exchange, Option


def assemble(exchange: Exchange, option: Option) -> dict[str, Any]:
    """The body for one target: the client's own, and the target's name."""
    model = option.engine_name or option.target.partition("/")[2]
    return {**exchange.request.body, "model": model}
