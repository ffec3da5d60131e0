"""Bounds of one router process."""

from __future__ import annotations

from pydantic import Field

from router.config.section import Section


class LimitsConfig(Section):
    """Bounds of one router replica (law 9)."""

    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, description="request body, bytes")
    max_body_values: int = Field(
        default=100_000,
        ge=1000,
        description="JSON values in a request's body, token ids not counted: who sends more waits "
        "for nobody, and everybody would wait for it",
    )
    max_choices: int = Field(
        default=128,
        ge=1,
        description="answers that one request may ask for: `n`, `best_of`, and for each of a list "
        "of prompts",
    )
    max_inputs: int = Field(
        default=2048, ge=1, description="texts that one request may have embedded"
    )
    max_feedback_bytes: int = Field(
        default=256 * 1024, ge=1024, description="body of one feedback, bytes"
    )
    max_archive_bytes: int = Field(
        default=2 * 1024**3, ge=1024, description="body of an adapter push, bytes"
    )
    max_concurrent_requests: int = Field(default=512, ge=1, description="inference calls under way")
    requests_per_minute: int = Field(
        default=600_000, ge=1, description="per tenant and router replica"
    )
    request_timeout_s: float = Field(default=600.0, gt=0, description="whole call, seconds")
    body_timeout_s: float = Field(
        default=60.0, gt=0, description="a request's body has to arrive within, seconds"
    )
    write_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="a client that takes nothing of its answer for so long is given up, seconds",
    )
    connect_timeout_s: float = Field(default=5.0, gt=0, description="to a target, seconds")
