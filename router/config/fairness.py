"""How adapters share an engine replica."""

from __future__ import annotations

from pydantic import Field, field_validator

from router.config.section import Section


class FairnessConfig(Section):
    """Weighted fair queueing over adapters, ahead of each engine replica."""

    max_in_flight_per_replica: int = Field(
        default=256, ge=1, description="requests one router keeps under way on one replica"
    )
    max_adapters_per_replica: int | None = Field(
        default=None,
        ge=1,
        description="distinct adapters under way on one replica; null: the engine's max_loras",
    )
    max_queued_per_replica: int = Field(default=1024, ge=1, description="requests that wait")
    patience_s: float = Field(
        default=0.25,
        ge=0,
        description="seconds after which a waiting request is not overtaken by later ones",
    )
    weights: dict[str, float] = Field(
        default_factory=dict, description="share of an alias against others; 1 unless named"
    )

    @field_validator("weights")
    @classmethod
    def _weights_are_positive(cls, weights: dict[str, float]) -> dict[str, float]:
        if any(not 0 < weight < float("inf") for weight in weights.values()):
            raise ValueError("weights must be numbers above 0")
        return weights
