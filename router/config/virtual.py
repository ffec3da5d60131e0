"""Virtual models: names that stand for lists of targets."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import Field, FiniteFloat, JsonValue, StringConstraints, model_validator

from router.config.section import Section

_WILD: Final = frozenset("*?[")
_OWNED: Final = frozenset({"model", "messages", "prompt", "input", "stream", "graftwork", "system"})
Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class Strategy(StrEnum):
    """Who of a virtual model's targets is asked first; the others follow when it cannot answer."""

    ORDERED = "ordered"
    """As they are listed."""
    WEIGHTED = "weighted"
    """By shares of requests; a session keeps its target."""
    CHEAPEST = "cheapest"
    """By the expected cost of this request."""
    FASTEST = "fastest"
    """By the answers of the last minute; one that was not measured comes first, to be measured."""


class VirtualModel(Section):
    """What a name stands for. Only these targets answer, within what rules permit."""

    targets: tuple[Name, ...] = Field(
        min_length=1,
        max_length=64,
        description="each `<provider>/<model>`, `<alias>`, `<alias>@<digest12>`, `base` or `auto` "
        "(whatever the router would choose)",
    )
    strategy: Strategy = Field(
        default=Strategy.ORDERED, description="who of them is asked first; the others follow"
    )
    weights: tuple[FiniteFloat, ...] | dict[Name, FiniteFloat] | None = Field(
        default=None,
        description="of `weighted`: each target's share, as a list or by target; default: equal",
    )
    system: str | None = Field(
        default=None, max_length=65_536, description="what the model is told in each request"
    )
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        max_length=64,
        description="fields of the body that a request has where it does not say otherwise",
    )
    route: str | None = Field(
        default=None, description="the entry of `routing.routes` whose settings apply"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.targets)) != len(self.targets):
            raise ValueError(f"targets must be distinct, got {list(self.targets)}")
        if self.weights is not None and self.strategy is not Strategy.WEIGHTED:
            raise ValueError("weights belong to strategy: weighted")
        if owned := sorted(_OWNED & self.parameters.keys()):
            raise ValueError(f"parameters must not set {owned}: they are the request itself")
        self.shares()
        return self

    def shares(self) -> tuple[float, ...]:
        """One for each target; they need not add up to 1. Raises ``ValueError``."""
        weights: Any = self.weights
        if weights is None:
            return (1.0,) * len(self.targets)
        if isinstance(weights, dict):
            if weights.keys() != set(self.targets):
                raise ValueError(f"weights must name exactly the targets {list(self.targets)}")
            weights = tuple(weights[target] for target in self.targets)
        if len(weights) != len(self.targets):
            raise ValueError(f"{len(weights)} weights for {len(self.targets)} targets")
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError("weights must not be negative, and one must be positive")
        return tuple(weights)


def is_glob(name: str) -> bool:
    """Whether a virtual model's name stands for many."""
    return bool(_WILD & set(name))
