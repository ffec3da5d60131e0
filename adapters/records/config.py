"""Bounds of the log, and how durable a record is before an answer goes out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_BUCKETS: Final = frozenset({"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "file"})


class Durability(StrEnum):
    """What an answer waits for."""

    BEFORE_FIRST_BYTE = "before_first_byte"
    """The first byte waits for the begin record to be on disk, the last one for the end record."""
    ASYNC = "async"
    """Records are written soon after; a crash loses the newest."""


def anchor_kind(place: str) -> Literal["file", "bucket", "webhook"]:
    """What an anchor's name means. Raises ``ValueError`` for what is none."""
    parts = urlsplit(place)
    if "://" not in place:
        return "file"
    if parts.scheme in _BUCKETS:
        return "bucket"
    is_private = parts.scheme == "https" or parts.hostname in LOOPBACK
    if parts.scheme in {"http", "https"} and parts.hostname and is_private:
        return "webhook"
    raise ValueError(
        "audit.anchor names a file, an s3://, gs://, az:// or file:// bucket, or a webhook by its "
        "https:// address"
    )


class AuditConfig(BaseModel):
    """The log of requests and admin actions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    durability: Durability = Field(
        default=Durability.BEFORE_FIRST_BYTE,
        description="`before_first_byte`: what a client heard is on disk, whatever crashes; "
        "`async`: a crash loses the newest records, which each record and `/readyz` say",
    )
    checkpoint_s: float = Field(
        default=30.0,
        gt=0,
        description="how often a checkpoint over all records is signed, seconds, also when nothing "
        "is new; what is changed or cut off after that is noticed",
    )
    anchor: str | None = Field(
        default=None,
        min_length=1,
        description="where checkpoints are put besides, out of reach of who can change the log: a "
        "file, `s3://`, `gs://`, `az://` or `file://` (a bucket with object lock, or another "
        "machine's disk), or the `https://` address of a webhook",
    )
    key_file: Path | None = Field(
        default=None,
        description="Ed25519 private key in PEM that checkpoints and certificates are signed with; "
        "default: `audit/signing.pem` in the state directory, made at the first start",
    )

    erasures_kept: int = Field(
        default=10_000,
        ge=1,
        description="erasures that are done, with their certificates; the oldest go beyond it, "
        "their records stay in the log",
    )

    @field_validator("anchor")
    @classmethod
    def _anchor_is_known(cls, place: str | None) -> str | None:
        if place is not None:
            anchor_kind(place)
        return place


class RecordsConfig(BaseModel):
    """Bounds of the logs of one process: append-only segment files, written in groups."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sync_ms: float = Field(
        default=5.0,
        ge=0,
        le=1000,
        description="records that nobody waits for share one disk sync for so long, milliseconds",
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
        description="records and payloads on one machine; the oldest files go, bytes",
    )
    kept_days: float = Field(default=90.0, gt=0, description="records and payloads, days")
