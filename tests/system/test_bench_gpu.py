"""The parts of `make bench-gpu` against the real system, in small: the path that a card takes."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from benchmarks.api import Api
from benchmarks.gpu import parts, scale
from serving.embedded import BASE_DIR
from tests.system.running import Running

pytestmark = pytest.mark.system
SMALL = dataclasses.replace(scale.on_the_cpu(), seconds=0.5, adapters=2, clients=2, loads=(1,))


@pytest.mark.parametrize("part", ["noise", "k"])
def test_a_part_measures(system: Running, tmp_path: Path, part: str) -> None:
    """Figures come out, without a failed request."""

    async def run() -> dict[str, str]:
        async with Api(system.url) as api:
            bench = parts.Bench(api, SMALL, BASE_DIR, tmp_path, 60.0)
            return await parts.PARTS[part](bench)

    figures = asyncio.run(run())
    assert figures
    assert all(figures.values())
