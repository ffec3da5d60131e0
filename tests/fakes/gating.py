"""A real gatekeeper over the adapter path on fakes: whoever is asked answers by a script."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.config import LadderSettings
from adapters.dataset.frozen import Row, Split
from adapters.errors import NotAsked
from adapters.flywheel.config import FlywheelConfig
from adapters.flywheel.database import FlywheelStore
from adapters.gate.asking import Answer, Messages, Tools
from adapters.gate.gatekeeper import Gatekeeper, GateParts
from adapters.gate.reports import Reports
from adapters.registry import Registry

Says = Callable[[str], str]
"""From a question to an answer."""
RIGHT = "You may send it back within 30 days."


def row(
    number: int,
    *,
    split: Split = "test",
    intent: str = "returns",
    answer: str = RIGHT,
    reviewer: str = "anna",
    question: str = "",
) -> Row:
    """One example; each number has a question of its own."""
    asked = question or f"question number {number}"
    return Row(
        digest=hashlib.sha256(f"{asked}{answer}".encode()).hexdigest(),
        messages=({"role": "user", "content": asked},),
        answer=answer,
        intent=intent,
        tenant="default",
        split=split,
        exchange_id=f"exc_{number:04x}",
        provenance="human",
        reviewers=(reviewer,),
        teacher="frontier:cloud/big",
        at=float(number),
    )


@dataclass
class Rows:
    """Held-out rows. ``before``: what was held out before any dataset that is asked about."""

    held: list[Row] = field(default_factory=list)
    datasets: dict[str, list[Row]] = field(default_factory=dict)
    before: list[Row] = field(default_factory=list)

    def holdout(self, intent: str) -> Sequence[Row]:
        return [each for each in (*self.before, *self.held) if each.intent == intent]

    def held_before(self, intents: Sequence[str], digest: str | None) -> frozenset[str]:
        rows = self.before if digest else [*self.before, *self.held]
        return frozenset(each.exchange_id for each in rows if each.intent in intents)

    def rows_of(self, digest: str) -> Sequence[Row]:
        return self.datasets.get(digest, [])


@dataclass
class Script:
    """Answers by who is asked: an engine name, ``base``, or a target; what fails raises."""

    says: dict[str, Says] = field(default_factory=dict)
    chosen_target: str = "frontier:cloud/big"
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Who was asked, and the last words of the question."""
    offered: dict[str, Tools] = field(default_factory=dict)
    """Tools that the newest question offered, by who was asked."""
    problems_of: Callable[[str], frozenset[str]] = lambda _answer: frozenset()

    async def on_replica(
        self,
        replica: str,
        name: str | None,
        messages: Messages,
        max_tokens: int,
        tools: Tools = (),
    ) -> Answer | None:
        return self._answer(name or "base", messages, tools)

    async def target(
        self,
        target: str,
        messages: Messages,
        tenant: str,
        max_tokens: int,
        tools: Tools = (),
    ) -> Answer | None:
        return self._answer(target, messages, tools)

    async def chosen(self, messages: Messages, tenant: str, tools: Tools = ()) -> str:
        return self.chosen_target

    async def problems(self, answer: str, tenant: str, intent: str) -> frozenset[str]:
        return self.problems_of(answer)

    def _answer(self, who: str, messages: Messages, tools: Tools) -> Answer:
        question = str(messages[-1]["content"])
        self.asked.append((who, question))
        self.offered[who] = tools
        if who not in self.says:
            raise NotAsked(f"{who} does not answer")
        return Answer(self.says[who](question), seconds=0.1)


@dataclass
class Kept:
    """Captured answers by target."""

    by_target: dict[str, dict[str, str]] = field(default_factory=dict)

    def answers(self, exchange_ids: Sequence[str], target: str) -> Mapping[str, Answer]:
        return {name: Answer(said) for name, said in self.by_target.get(target, {}).items()}


@dataclass
class GateWorld:
    """A gatekeeper and what it sees."""

    root: Path
    registry: Registry
    gate: Mapping[str, object]
    rows: Rows = field(default_factory=Rows)
    script: Script = field(default_factory=Script)
    captured: Kept = field(default_factory=Kept)
    withdrew: set[str] = field(default_factory=set)
    """Tenants that consent no more."""

    def __post_init__(self) -> None:
        url = f"sqlite:///{self.root / 'flywheel.db'}"
        self.store = FlywheelStore.open(url, self.registry.as_writer)
        self.reports = Reports(self.store)
        route = {"alias": "returns", "gate": dict(self.gate)}
        self.gatekeeper = Gatekeeper(
            GateParts(
                self.reports,
                self.rows,
                self.captured,
                self.script,
                self.script,
                self.registry,
                FlywheelConfig.model_validate({"routes": {"returns": route}}),
                LadderSettings(),
                consents=lambda tenant: tenant not in self.withdrew,
            )
        )
