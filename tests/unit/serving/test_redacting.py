"""What lines of a file are redacted with: more patience than a request has, and not endless."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.aliases import Peer
from adapters.corpus.bringing import BadLine
from router.errors import GuardUnavailable
from router.govern.governance import Governance
from serving.config.settings import Settings
from serving.registry import redacting
from serving.registry.compose import RegistryProcess
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
    found = await Crowded(settings, 3).brought("write to ana@example.com")
    assert "ana@example.com" not in found


async def test_not_for_ever(settings: Settings) -> None:
    """The line is rejected, and whoever sent it is told to send it again."""
    with pytest.raises(BadLine, match="send the line again"):
        await Crowded(settings, 4).brought("hello")


async def test_a_file_of_gold_and_a_reviewers_words_wait_as_well(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One busy moment refuses no import of thousands of rows, and no verdict."""
    refused: list[str] = []
    governed = Governance.learned_from

    async def busy_at_first(self: Governance, value: Any, persons: Iterable[str] = ()) -> Any:
        if (text := str(value)) not in refused:
            refused.append(text)
            raise GuardUnavailable("it takes too long")
        return await governed(self, value, persons)

    monkeypatch.setattr(Governance, "learned_from", busy_at_first)
    process = RegistryProcess(settings)
    await process.start(Peer(id="registry", url="http://registry", secret="s"))
    try:
        transport = httpx.ASGITransport(process.surface)
        async with httpx.AsyncClient(transport=transport, base_url="http://registry") as http:
            row = [{"role": role, "content": f"{role} says so"} for role in ("user", "assistant")]
            taken = await http.post(
                "/admin/v1/datasets/import",
                params={"format": "messages", "name": "gold", "intent": "returns"},
                content=json.dumps({"messages": row}).encode(),
                headers={"content-type": "application/x-ndjson"},
            )
            assert taken.status_code == 201, taken.text
            kept = await http.put("/admin/v1/reviews/guidelines", json={"text": "Be kind."})
            assert kept.status_code == 200, kept.text
    finally:
        await process.aclose()
    assert len(refused) == 2
