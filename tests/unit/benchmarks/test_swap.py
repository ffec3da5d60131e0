"""The benchmark of swaps reads what the server says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from benchmarks.api import Api
from benchmarks.swap import _steps

MOVES = ("checked", "stored", "preparing", "prepared", "live")


class Told:
    """A server whose events have these times."""

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """A journey of one step a second."""
        at = "2026-11-26T17:00:{:02d}.500000Z"
        yield {"kind": "version-received", "digest": "d", "at": at.format(0)}
        for number, state in enumerate(MOVES, 1):
            yield {"kind": "version-moved", "digest": "d", "state": state, "at": at.format(number)}
        yield {"kind": "alias-changed", "digest": "d", "at": at.format(len(MOVES) + 1)}


async def test_steps_take_the_time_between_two_events() -> None:
    """Events carry ISO times."""
    found = await _steps(cast("Api", Told()), "d")
    assert found["applied"] == pytest.approx(2.0)
    assert all(step > 0 for step in found.values())
