"""What is told of a takeover while its parts are still on their way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.aliases import engine_name
from adapters.flywheel.config import FlywheelConfig
from adapters.takeover.book import TakeoverBook, TargetUsage, TokenPrice
from adapters.traffic import VersionTraffic
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.fleet import FakeFleet

FRONTIER = "frontier:cloud/big"


class _Used:
    def __init__(self) -> None:
        self.rows: list[TargetUsage] = []

    def by_target(self, since: float) -> Sequence[TargetUsage]:
        """What has been reported."""
        del since
        return self.rows


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """One version that is live."""
    made = AdapterPath(tmp_path, FakeFleet("r0"))
    await made.push("returns", 1)
    yield made
    await made.aclose()


async def test_routers_usage_and_their_counts_come_apart(path: AdapterPath) -> None:
    """Whichever is heard first is told; of what nobody has said the row says that it is unknown."""
    name = engine_name("returns", path.digest(1))
    used = _Used()
    counts: dict[str, VersionTraffic] = {}

    def row() -> dict[str, Any]:
        book = TakeoverBook(
            FlywheelConfig.model_validate({"routes": {"refunds": {"alias": "returns"}}}),
            path.registry,
            used,
            lambda _target: TokenPrice(1e-6, 2e-6),
            lambda asked: counts.get(asked, VersionTraffic()),
            FRONTIER,
        )
        [found] = book.rows(0.0)
        return found

    assert (row()["requests"], row()["coverage"], row()["confidence"]) == (0, None, None)
    used.rows = [
        TargetUsage("refunds", FRONTIER, 1, 10, 10, 3e-5),
        TargetUsage("refunds", f"adapter:{name}", 3, 30, 30, 0.0),
    ]
    first = row()
    assert (first["requests"], first["coverage"], first["local_share"]) == (4, 0.75, 0.75)
    assert first["saved_usd"] == pytest.approx(9e-5)
    assert (first["confidence"], first["agreement"], first["quality"]) == (None, None, None)
    counts[name] = VersionTraffic(requests=4, unsure=1)
    assert row() == {**first, "confidence": 0.75}
    used.rows = []
    assert (row()["requests"], row()["confidence"]) == (0, 0.75)
