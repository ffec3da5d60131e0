"""What was trained is pushed, and again, ever more seldom, where what stopped it may pass."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.distill import job
from adapters.distill.briefing import AUTHOR
from adapters.distill.distillations import Distillation
from adapters.errors import (
    AdapterError,
    BadName,
    Conflict,
    Superseded,
    UnknownAlias,
    UnknownVersion,
)
from adapters.flywheel.config import FlywheelConfig
from adapters.publish.outcome import Outcome
from adapters.publish.rollout import Rollout
from adapters.registry import Registry, Stage
from adapters.registry.lifecycle import State

_MOST_CONFLICTS: Final = 30
"""Refusals of one version, with pauses of up to a minute, before nobody tries any more."""
_LONGEST_PAUSE_S: Final = 60.0
_FORGOTTEN: Final = "version-forgotten"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to: a version, the end of it, or another try."""

    digest: str = ""
    failed: str = ""
    """Why there will be no version."""
    again: str = ""
    """Why it is tried again."""
    pause_s: float = 0.0
    """Until then."""


class Pushing:
    """Pushes versions of distillations. Belongs to the loop's event loop."""

    def __init__(self, rollout: Rollout, registry: Registry, config: FlywheelConfig) -> None:
        self._rollout = rollout
        self._registry = registry
        self._config = config
        self._tries: dict[str, int] = {}
        self._conflicts: dict[str, int] = {}

    async def push(self, row: Distillation, path: Path) -> Pushed:
        """Push what lies in the job's directory. Raises ``Superseded``."""
        try:
            digest = await asyncio.to_thread(self._live_already, row.alias, path)
            if digest:
                return Pushed(digest)
            outcome = await self._outcome(row, path)
        except Superseded:
            raise
        except Conflict as error:
            return self._refused(row, error)
        except BadName as error:
            return Pushed(failed=str(error))
        except (AdapterError, OSError) as error:
            return self._again(row, error)
        if not outcome.digest or (outcome.refused and outcome.state is not State.REFUSED):
            return Pushed(outcome.digest, failed=outcome.error or "its version was refused")
        return Pushed(outcome.digest)

    def keep(self, under_way: Container[str]) -> None:
        """Forget how often others were tried: they have ended."""
        self._tries = {name: n for name, n in self._tries.items() if name in under_way}
        self._conflicts = {name: n for name, n in self._conflicts.items() if name in under_way}

    async def _outcome(self, row: Distillation, path: Path) -> Outcome:
        route = self._config.routes.get(row.intent)
        stage: Stage = "live" if route is None else route.ladder[0]
        with tempfile.TemporaryDirectory(prefix="graftwork-") as scratch:
            copy = Path(scratch) / row.alias
            await asyncio.to_thread(shutil.copytree, path / job.ADAPTER_DIR, copy)
            return await self._rollout.push(
                row.alias, copy, stage=stage, author=f"{AUTHOR}{row.id}"
            )

    def _live_already(self, alias: str, path: Path) -> str:
        """The digest of what was trained, where it is live: the same rows and settings make the
        same bytes. As a canary it would have to leave its place first.
        """
        done = job.read_outcome(path)
        if done is None or not done.digest:
            return ""
        try:
            state = self._registry.version(alias, done.digest).state
        except (UnknownAlias, UnknownVersion):
            return ""
        return done.digest if state is State.LIVE else ""

    def _refused(self, row: Distillation, error: Conflict) -> Pushed:
        conflicts = self._conflicts[row.id] = self._conflicts.get(row.id, 0) + 1
        if error.code == _FORGOTTEN or conflicts >= _MOST_CONFLICTS:
            return Pushed(failed=f"its version cannot be pushed: {error}")
        return self._again(row, error)

    def _again(self, row: Distillation, error: Exception) -> Pushed:
        tries = self._tries[row.id] = self._tries.get(row.id, 0) + 1
        pause_s = min(_LONGEST_PAUSE_S, 2.0 ** min(tries, 10))
        return Pushed(again=f"the push is tried again: {error}", pause_s=pause_s)
