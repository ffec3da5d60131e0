"""Every fault, streamed and whole, with and without somebody who could answer in its place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.suite import CASES, CHAT, RESPONSES, Row, bench

AT_ONCE = 16
TIMEOUT_S = 2.5


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_every_fault_is_answered_or_ends_with_an_error(tmp_path: Path, path: str) -> None:
    """Answered in full by the fallback, or ended by a well-formed error, within the deadline."""
    room = asyncio.Semaphore(AT_ONCE)
    with bench(tmp_path, TIMEOUT_S) as running:

        async def run(number: int) -> Row:
            case = CASES[number // 4]
            async with room:
                stream, fallback = bool(number & 1), bool(number & 2)
                return await running.run(case, stream=stream, fallback=fallback, path=path)

        numbers = reversed(range(4 * len(CASES)))  # those that hang come first
        rows = await asyncio.gather(*(run(number) for number in numbers))
    assert [row for row in rows if not row.is_right] == []
    assert sum(row.rescued for row in rows) >= 6
