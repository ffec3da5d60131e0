"""The loop on fakes: a real database, registry and store, a fake fleet, a trainer without a model.

What survives a process's death is on the disk; ``restart`` is such a death.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from adapters.dataset.frozen import Dataset, Row, Split, row_digest
from adapters.distill.directories import JobDirectories
from adapters.distill.distillations import Distillation, Distillations, Wish
from adapters.distill.lineage import Lineage
from adapters.distill.loop import Loop, LoopParts
from adapters.distill.ports import NoGates, NothingToTrain, TrainingBase
from adapters.flywheel.config import FlywheelConfig
from adapters.flywheel.database import FlywheelStore
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.corpus import at_once
from tests.fakes.trainer_process import FakeTrainer

_TICK_S = 0.02


_WORDS = ("lamp", "chair", "coat", "kettle", "phone", "bag", "book", "watch", "tent", "bike")


def row(number: int, *, intent: str = "returns", split: Split = "train", **fields: Any) -> Row:
    """One example; other numbers ask for other things."""
    thing = f"{_WORDS[number % 10]} {_WORDS[number // 10 % 10]}"
    messages = ({"role": "user", "content": f"May I send the {thing} back?"},)
    answer = f"Yes, the {thing} within 30 days."
    given: dict[str, Any] = {
        "digest": row_digest(messages, answer, intent),
        "messages": messages,
        "answer": answer,
        "intent": intent,
        "tenant": "acme",
        "split": split,
        "exchange_id": f"exc_{number}",
        "provenance": "human",
        "reviewers": ("ana",),
        "teacher": "frontier:cloud/big",
        "at": 1_700_000_000.0,
    }
    return Row(**given | fields)


class FakeData:
    """Datasets by digest, and the gold of each intent."""

    def __init__(self) -> None:
        self.gold: dict[str, list[Row]] = {
            "returns": [row(1), row(2), row(3, split="test")],
        }
        self.frozen: dict[str, list[Row]] = {}
        self.rebuilt: dict[str, str] = {}

    def freeze(self, rows: Sequence[Row]) -> Dataset:
        """Keep rows under a digest of how many there are and which."""
        digest = f"{abs(hash(tuple(each.digest for each in rows))):064x}"[-64:]
        self.frozen[digest] = list(rows)
        found = self.known(digest)
        assert found is not None
        return found

    def freeze_intent(self, intent: str) -> Dataset:
        """All gold of an intent."""
        if not self.gold.get(intent):
            raise NothingToTrain(f"the intent {intent!r} has no gold answers")
        return self.freeze(self.gold[intent])

    def known(self, digest: str) -> Dataset | None:
        """By its digest or the beginning of it."""
        full = next((each for each in self.frozen if each.startswith(digest)), None)
        if full is None:
            return None
        rows = self.frozen[full]
        counts = {name: sum(r.intent == name for r in rows) for name in {r.intent for r in rows}}
        splits = {name: sum(r.split == name for r in rows) for name in ("train", "test")}
        return Dataset(full, "gold", 0.0, counts, splits, self.rebuilt.get(full))

    def rows(self, digest: str) -> Sequence[Row]:
        """Both splits."""
        return self.frozen[digest]


@cache
def _migrated() -> bytes:
    """An empty database: migrating one takes longer than most tests."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "flywheel.db"
        FlywheelStore.open(f"sqlite:///{path}", at_once).close()
        return path.read_bytes()


class TinyBase:
    """The tiny base: the fake trainer does not read it."""

    def base(self) -> TrainingBase:
        """Somewhere."""
        return TrainingBase(Path("/nowhere"), "tiny", 16)


@dataclass
class LearningLoop:
    """One registry process's loop, and what survives its death."""

    path: AdapterPath
    config: FlywheelConfig = field(default_factory=FlywheelConfig)
    trainer: FakeTrainer = field(default_factory=FakeTrainer)
    data: FakeData = field(default_factory=FakeData)
    gates: Any = field(default_factory=NoGates)

    def __post_init__(self) -> None:
        self.start()

    @property
    def root(self) -> Path:
        """Where everything lies."""
        return self.path.root

    def start(self) -> None:
        """A fresh process over what is on the disk."""
        registry = self.path.registry
        path = self.root / "flywheel.db"
        if not path.exists():
            path.write_bytes(_migrated())
        self.store = FlywheelStore.open(f"sqlite:///{path}", registry.as_writer)
        self.distillations = Distillations(self.store, self.path.events)
        self.lineage = Lineage(self.store)
        self.directories = JobDirectories(self.root / "distillations")
        self.loop = Loop(
            LoopParts(
                self.distillations,
                self.lineage,
                self.directories,
                self.trainer,
                self.data,
                TinyBase(),
                self.gates,
                self.path.rollout,
                registry,
                self.config,
            ),
            lambda: None,
        )

    def ask(self, **wish: Any) -> Distillation:
        """Ask for one."""
        return self.distillations.ask(Wish(**{"alias": "returns", "intent": "returns", **wish}))

    async def run(self, identity: str, *states: str, within_s: float = 20) -> Distillation:
        """Tick until it is in one of these states."""
        until = time.monotonic() + within_s
        while True:
            await self.loop.tick()
            found = self.distillations.find(identity)
            if found.state.value in states:
                return found
            assert time.monotonic() < until, (found.state, found.reason)
            await asyncio.sleep(_TICK_S)

    async def restart(self) -> None:
        """Die where we stand, come back and resume; trainers live on."""
        self.store.close()
        await self.path.restart()
        self.start()

    async def aclose(self) -> None:
        """End it all."""
        self.trainer.kill()
        self.store.close()
        await self.path.aclose()
