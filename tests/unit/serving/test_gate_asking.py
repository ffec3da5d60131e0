"""How the gate asks through a router: who is not there has not answered anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from adapters.errors import NotAsked
from router.errors import GuardUnavailable
from serving.config.settings import Settings
from serving.internal import paths
from serving.internal.reports import RouterReport
from serving.internal.server import InternalServer
from serving.registry import asking
from serving.registry.asking import Eyes, HttpAsking
from serving.registry.membership import Membership
from serving.registry.redacting import Redaction

QUESTION = ({"role": "user", "content": "May I return it?"},)


class Door:
    """A router that answers every question with one status."""

    def __init__(self) -> None:
        self.status = 200
        self.said: dict[str, Any] = {"error": {"message": "no such model"}}
        self.members = Membership()
        self.asking = HttpAsking(self.members)
        self.server = InternalServer("127.0.0.1")

    async def start(self) -> None:
        routes = [
            Route(paths.ASK, self._answer, methods=["POST"]),
            Route(paths.LOOK_AT, self._look, methods=["POST"]),
        ]
        await self.server.start(Starlette(routes=routes))  # type: ignore[arg-type]
        self.members.router_reported(RouterReport(peer=self.server.peer("door")))

    async def stop(self) -> None:
        await self.asking.aclose()
        await self.server.stop()

    async def _answer(self, _: Request) -> JSONResponse:
        return JSONResponse(self.said, self.status)

    async def _look(self, _: Request) -> JSONResponse:
        return JSONResponse({"problems": []})


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """One router."""
    made = Door()
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("status", [401, 404, 410])
async def test_a_target_that_is_not_there_was_not_asked(door: Door, status: int) -> None:
    """Were it taken for silence, whatever is compared with it would pass."""
    door.status = status
    with pytest.raises(NotAsked, match=f"frontier:cloud/gone cannot be asked: {status}: no such"):
        await door.asking.target("frontier:cloud/gone", QUESTION, "default", 8)


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_a_target_that_refuses_a_question_has_said_nothing(door: Door, status: int) -> None:
    """That is scored."""
    door.status = status
    assert await door.asking.target("frontier:cloud/big", QUESTION, "default", 8) is None


@pytest.mark.parametrize(
    "choice",
    [
        {"message": None},
        {"message": "Within 30 days."},
        {"message": {"tool_calls": 3}},
        {"message": {"tool_calls": [None, "look_up", {"function": None}]}},
        {},
        None,
    ],
)
async def test_what_makes_no_sense_is_no_call_and_no_error(door: Door, choice: object) -> None:
    """Providers answer odd things; a test of an hour goes on."""
    door.said = {"choices": [choice]}
    found = await door.asking.target("frontier:cloud/big", QUESTION, "default", 8)
    assert found is not None
    assert found.calls == ""


class Busy(Redaction):
    """Whose guard is down for so many looks."""

    down = 0

    async def kept(self, value: Any) -> Any:
        if self.down > 0:
            self.down -= 1
            raise GuardUnavailable("the detector of names is busy")
        return value


async def test_a_guard_that_is_down_for_a_moment_ends_no_test(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stays down does: nobody knows then what an answer holds."""
    monkeypatch.setattr(asking, "_PATIENCE_S", (0.0, 0.0))
    redaction = Busy(Settings(state_dir=tmp_path))
    eyes = Eyes(redaction, door.asking)
    redaction.down = 2
    assert await eyes.problems("Within 30 days.", "default", "returns") == frozenset()
    redaction.down = 3
    with pytest.raises(NotAsked, match="could not be looked at"):
        await eyes.problems("Within 30 days.", "default", "returns")
