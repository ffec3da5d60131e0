"""Priority classes: who is shed first when the router is full, and who is served first."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Priority(StrEnum):
    """How urgent a request is; from the most to the least."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return _RANKS[self]


_RANKS = {priority: rank for rank, priority in enumerate(Priority)}


class PriorityConfig(BaseModel):
    """Shares of the router's room, and weights in the queues ahead of the engines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    room: dict[Priority, float] = Field(
        default={Priority.INTERACTIVE: 1.0, Priority.STANDARD: 0.95, Priority.BATCH: 0.75},
        description="share of `limits.max_concurrent_requests`, and of each queue, that a class "
        "may fill; beyond it the class is refused, so the least urgent is shed first",
    )
    weights: dict[Priority, float] = Field(
        default={Priority.INTERACTIVE: 4.0, Priority.STANDARD: 2.0, Priority.BATCH: 1.0},
        description="share of an engine replica against other classes, while requests wait",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> PriorityConfig:
        for name, values in (("room", self.room), ("weights", self.weights)):
            missing = sorted(set(Priority) - values.keys())
            if missing:
                raise ValueError(f"{name} needs a value for {', '.join(missing)}")
            if any(not 0 < value < float("inf") for value in values.values()):
                raise ValueError(f"{name} must be numbers above 0")
        if any(value > 1 for value in self.room.values()):
            raise ValueError("room is a share: at most 1")
        return self
