"""What the gate needs of others: answers of targets, held-out rows, and the eyes of governance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from adapters.dataset.frozen import Row

Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any]]
"""Functions that a request offers, in chat's shape."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target said, and what it took."""

    text: str
    """Of one that only calls tools, those calls as JSON."""
    calls: str = ""
    """All calls of tools, as JSON."""
    seconds: float | None = None
    """None: it was not asked now."""
    cost_usd: float | None = None
    output_tokens: int | None = None

    @property
    def measured(self) -> str:
        """What it is measured by: its calls where there are any, else its text."""
        return self.calls or self.text

    @property
    def whole(self) -> str:
        """Everything that it says and calls."""
        return "\n".join(dict.fromkeys(each for each in (self.text, self.calls) if each))


class Asking(Protocol):
    """Asks targets, outside of anybody's traffic."""

    async def on_replica(
        self,
        replica: str,
        name: str | None,
        messages: Messages,
        max_tokens: int,
        tools: Tools = (),
    ) -> Answer | None:
        """What an engine says with the version that it holds under a name; None as name: its base.

        None when it refuses the request. Raises ``FleetError``.
        """
        ...

    async def target(
        self,
        target: str,
        messages: Messages,
        tenant: str,
        max_tokens: int,
        tools: Tools = (),
    ) -> Answer | None:
        """What a target says, asked as a request of the tenant is: within rules and budgets.

        None when it refuses the request, or rules do. Raises ``NotAsked``.
        """
        ...

    async def chosen(self, messages: Messages, tenant: str, tools: Tools = ()) -> str:
        """Which target would answer such a request now. Raises ``NotAsked``."""
        ...


class HeldOut(Protocol):
    """Frozen datasets. Methods block."""

    def holdout(self, intent: str) -> Sequence[Row]:
        """Everything that was ever held out for the intent."""
        ...

    def held_before(self, intents: Sequence[str], digest: str | None) -> frozenset[str]:
        """Exchanges that were held out before this dataset was frozen; without one, all."""
        ...

    def rows_of(self, digest: str) -> Sequence[Row]:
        """Both splits of a dataset; nothing of one that is unknown or was erased."""
        ...


class Captured(Protocol):
    """What was answered to exchanges. Blocks."""

    def answers(self, exchange_ids: Sequence[str], target: str) -> Mapping[str, Answer]:
        """By exchange, what this target answered to it, where it did."""
        ...


class Watching(Protocol):
    """Looks at answers as the request path does."""

    async def problems(self, answer: str, tenant: str, intent: str) -> frozenset[str]:
        """What is wrong with an answer, of ``PROBLEMS``. Raises ``NotAsked``."""
        ...


PROBLEMS: Final = ("personal-data", "policy", "unsafe")
"""Kinds: data of persons or a secret that a target made up, a rule that is broken, harm."""
