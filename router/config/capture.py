"""Whose exchanges may be kept to learn from, and how many of them."""

from __future__ import annotations

from pydantic import Field

from router.config.section import Section


class TenantCapture(Section):
    """What one tenant consents to."""

    consent: bool = Field(
        description="its exchanges may be kept, redacted, reviewed, and trained on"
    )
    share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="of the exchanges that nothing speaks for; those with a signal, such as an "
        "escalation or negative feedback, are all kept",
    )


class CaptureConfig(Section):
    """What is kept of requests and answers, to be reviewed and learned from."""

    tenants: dict[str, TenantCapture] = Field(
        default_factory=dict,
        max_length=10_000,
        description="by tenant; a name may be a glob, an exact one wins. A tenant that is not "
        "named has not consented; the operator of a process without keys, who is the only one that "
        "it serves, has",
    )
    spool_mb: int = Field(
        default=64,
        ge=1,
        description="of exchanges that wait on a router's disk for the registry, MiB",
    )
    recent: int = Field(
        default=2000,
        ge=0,
        description="answers that one router remembers, in memory, in case of feedback on them",
    )
    recent_mb: int = Field(default=64, ge=1, description="of those, MiB")
    recent_s: float = Field(default=900.0, gt=0, description="and for how long, seconds")
