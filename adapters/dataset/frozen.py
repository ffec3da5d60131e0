"""A frozen dataset: rows and splits under one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import rfc8785

from adapters.corpus.tools import written
from adapters.records.merkle import root_of

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class Row:
    """One example. ``digest`` is SHA-256 over its canonical JSON (RFC 8785): ``row_digest``."""

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
    """The exchange's time, seconds since the epoch."""
    subjects: tuple[str, ...] = ()
    logprobs: Any = None
    """The teacher's top log-probabilities by token, where it gave them and its answer is gold."""
    conversation: str = ""
    """Digest of tenant and session; empty where there is no session."""
    replay: bool = False
    """Of another intent, mixed in against forgetting."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """What the request offered: functions, in chat's shape."""
    calls: tuple[Mapping[str, Any], ...] = ()
    """Calls that the answer makes beside what it says. One that only calls is those calls."""

    @property
    def expected(self) -> str:
        """What an answer is measured by: the calls where there are any, else the text."""
        return written(self.calls) if self.calls else self.answer

    def digested(self) -> Row:
        """The same under the digest of its content. Raises ``ValueError``."""
        return replace(
            self,
            digest=row_digest(
                self.messages,
                self.answer,
                self.intent,
                self.logprobs,
                tools=self.tools,
                calls=self.calls,
            ),
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is known of one; its rows are in files below ``datasets/<digest>/``."""

    digest: str
    """Merkle root over the sorted digests of rows and their splits."""
    name: str
    """The newest of ``names``."""
    created_at: float
    counts: Mapping[str, int]
    """By intent."""
    splits: Mapping[str, int]
    """``train`` and ``test``."""
    rebuilt_as: str | None = None
    """What replaced it after an erasure; its rows are gone."""
    erased: bool = False
    """Its rows are gone; ``rebuilt_as`` is None where nothing was left of them."""
    rebuilt_from: str | None = None
    names: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    """The card: ``origin``, ``selection``, ``statistics``, ``checks``, ``warnings``."""


def row_digest(
    messages: Iterable[Mapping[str, Any]],
    answer: str,
    intent: str,
    logprobs: Any = None,
    *,
    tools: Iterable[Mapping[str, Any]] = (),
    calls: Iterable[Mapping[str, Any]] = (),
) -> str:
    """The digest of what a model can learn from a row: who reviewed it, and when, is beside it.

    Raises ``ValueError`` for what RFC 8785 cannot write (numbers beyond doubles, half characters).
    """
    content: dict[str, Any] = {
        "messages": [dict(message) for message in messages],
        "answer": answer,
        "intent": intent,
    }
    if logprobs is not None:
        content["logprobs"] = logprobs
    for name, given in (("tools", tools), ("calls", calls)):
        if listed := [dict(each) for each in given]:
            content[name] = listed
    return hashlib.sha256(canonical(content)).hexdigest()


def input_digest(messages: Iterable[Mapping[str, Any]]) -> str:
    """The digest of what was asked, whatever was answered."""
    return hashlib.sha256(canonical([dict(message) for message in messages])).hexdigest()


def canonical(value: Any) -> bytes:
    """RFC 8785. Raises ``ValueError``."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise ValueError(f"it has no canonical JSON: {error}") from error


def dataset_digest(rows: Iterable[Row]) -> str:
    """RFC 6962's root over the rows' digests with their splits, sorted; hexadecimal.

    A row that is there twice counts twice.
    """
    pairs = sorted((row.digest, row.split) for row in rows)
    leaves = [
        hashlib.sha256(b"\x00" + canonical({"row": digest, "split": split})).digest()
        for digest, split in pairs
    ]
    return root_of(leaves).hex()
