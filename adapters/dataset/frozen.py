"""A frozen dataset: rows and splits under one digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Row:
    """One example. ``digest`` is SHA-256 over its canonical JSON (RFC 8785)."""

    digest: str
    messages: tuple[Mapping[str, Any], ...]
    answer: str
    intent: str
    tenant: str
    split: Split
    exchange_id: str
    provenance: str
    reviewers: tuple[str, ...]
    teacher: str
    at: float
    subjects: tuple[str, ...] = ()
    logprobs: Any = None
    """The teacher's top log-probabilities by token, where it gave them and its answer is gold."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is known of one; its rows are in files below ``datasets/<digest>/``."""

    digest: str
    """Merkle root over the sorted digests of rows and their splits."""
    name: str
    created_at: float
    counts: Mapping[str, int]
    """By intent."""
    splits: Mapping[str, int]
    """``train`` and ``test``."""
    rebuilt_as: str | None = None
    """What replaced it after an erasure; its rows are gone."""
