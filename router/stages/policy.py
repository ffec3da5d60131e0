"""What is permitted for this caller. Allow and deny rules attach here; none is configured yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from router.request import Exchange, Option


def permit(exchange: Exchange, options: Sequence[Option]) -> tuple[Option, ...]:
    """Mark every option that may not be used, with the reason; retries see only these (law 5)."""
    return tuple(_judge(exchange, option) for option in options)


def _judge(exchange: Exchange, option: Option) -> Option:
    caller = exchange.caller
    if caller is None:
        return replace(option, allowed=False, reason="nobody is authenticated")
    return option
