"""What the model sees. Retrieval and fitting to the target's window attach here."""

from __future__ import annotations

from typing import Any

from router.request import Exchange, Option


def assemble(exchange: Exchange, option: Option) -> dict[str, Any]:
    """The body for one target: the client's own, the target's name, what a judge needs to see."""
    model = option.engine_name or option.target.partition("/")[2]
    if exchange.probe is not None and option.is_local:
        return {**exchange.body, **exchange.probe, "model": model}
    return {**exchange.body, "model": model}
