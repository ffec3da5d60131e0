"""Decision records and feedback on disk."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RecordsConfig(BaseModel):
    """Journals of one router: append-only segment files, written in groups."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sync_ms: float = Field(
        default=5.0,
        ge=0,
        le=1000,
        description="records that come within so long share one disk sync, milliseconds",
    )
    max_queued: int = Field(
        default=10_000,
        ge=10,
        description="records that wait for the disk; with more, new requests get 503, so that none "
        "is answered without a record",
    )
    segment_bytes: int = Field(
        default=16 * 1024 * 1024, ge=4096, description="a file is closed at this size, bytes"
    )
    segment_age_s: float = Field(
        default=3600.0, gt=0, description="a file is closed at this age, seconds"
    )
    kept_bytes: int = Field(
        default=2 * 1024**3,
        ge=4096,
        description="decision records on one machine; the oldest files go, bytes",
    )
    kept_days: float = Field(default=90.0, gt=0, description="decision records, days")
