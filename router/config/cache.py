"""The exact-match response cache."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CacheConfig(BaseModel):
    """Answers that are given again for the very same request of the same tenant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=False, description="whether answers are kept at all")
    ttl_s: float = Field(default=3600.0, gt=0, description="how long an answer is kept, seconds")
    max_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="all kept answers together, bytes"
    )
    max_answer_bytes: int = Field(
        default=1024 * 1024, ge=256, description="a longer answer is not kept, bytes"
    )
    deterministic_only: bool = Field(
        default=True,
        description="keep only answers to requests with `temperature: 0` or a `seed`; embeddings "
        "are always deterministic",
    )
