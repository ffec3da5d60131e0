"""What lines of a file are redacted with: more patience than a request has, and not endless."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from adapters.corpus.bringing import BadLine
from router.errors import GuardUnavailable
from serving.config.settings import Settings
from serving.registry import redacting
from serving.registry.redacting import Redaction


class Crowded(Redaction):
    """One whose detector has no time for so many texts."""

    def __init__(self, settings: Settings, busy_for: int) -> None:
        super().__init__(settings)
        self.busy_for = busy_for

    async def learned_from(self, value: Any, persons: Iterable[str] = ()) -> Any:
        """As ever, once there is time."""
        self.busy_for -= 1
        if self.busy_for >= 0:
            raise GuardUnavailable("it takes too long")
        return await super().learned_from(value, persons)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """All by default."""
    return Settings(state_dir=tmp_path)


@pytest.fixture(autouse=True)
def _pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redacting, "_PATIENCE_S", (0.0, 0.0, 0.0))


async def test_a_busy_machine_is_waited_for(settings: Settings) -> None:
    """The line is taken, without what must not be kept."""
    found = await Crowded(settings, 2).brought("write to ana@example.com")
    assert "ana@example.com" not in found


async def test_not_for_ever(settings: Settings) -> None:
    """The line is rejected, and whoever sent it is told to send it again."""
    with pytest.raises(BadLine, match="send the line again"):
        await Crowded(settings, 3).brought("hello")
