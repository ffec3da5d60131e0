"""A dataset's directory: one JSON line a row, `train.jsonl` and `test.jsonl`, and the card.

Hugging Face's `datasets` loads it as it is. A directory appears whole or not at all, and what is
read from it is checked.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from adapters.atomic import sync, write_file
from adapters.corpus.tools import calls_in, written
from adapters.dataset.frozen import SPLITS, Row, Split

CARD: Final = "README.md"
_DRAFT: Final = "."


class Damaged(Exception):
    """The files are not those that were frozen."""


def line_of(row: Row) -> dict[str, Any]:
    """A row as it is written; the answer is the last message."""
    line: dict[str, Any] = {
        "messages": [*row.messages, said(row)],
        "digest": row.digest,
        "split": row.split,
        "intent": row.intent,
        "tenant": row.tenant,
        "exchange_id": row.exchange_id,
        "provenance": row.provenance,
        "reviewers": list(row.reviewers),
        "teacher": row.teacher,
        "at": row.at,
        "subjects": list(row.subjects),
        "conversation": row.conversation,
        "replay": row.replay,
    }
    if row.logprobs is not None:
        line["logprobs"] = row.logprobs
    if row.tools:
        line["tools"] = list(row.tools)
    return line


def said(row: Row) -> dict[str, Any]:
    """The answer as a turn; calls of the offered tools stand beside what it says."""
    names = (tool["function"]["name"] for tool in row.tools)
    only = [] if row.calls else calls_in(row.answer, names)
    calls = [*row.calls] or only
    turn = {"role": "assistant", "content": "" if only else row.answer}
    return turn | ({"tool_calls": calls} if calls else {})


def answer_of(turn: Mapping[str, Any]) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    """What ``said`` wrote: the answer, and the calls beside it."""
    text, calls = turn["content"], turn.get("tool_calls") or ()
    return (text, tuple(calls)) if text or not calls else (written(calls), ())


def row_of(line: Mapping[str, Any]) -> Row:
    """What ``line_of`` wrote. Raises ``KeyError``, ``TypeError`` and ``ValueError``."""
    *messages, last = line["messages"]
    answer, calls = answer_of(last)
    return Row(
        digest=line["digest"],
        messages=tuple(messages),
        answer=answer,
        intent=line["intent"],
        tenant=line["tenant"],
        split=line["split"],
        exchange_id=line["exchange_id"],
        provenance=line["provenance"],
        reviewers=tuple(line["reviewers"]),
        teacher=line["teacher"],
        at=line["at"],
        subjects=tuple(line["subjects"]),
        logprobs=line.get("logprobs"),
        conversation=line["conversation"],
        replay=line["replay"],
        tools=tuple(line.get("tools", ())),
        calls=calls,
    )


def name_of(split: Split) -> str:
    """The file of a split."""
    return f"{split}.jsonl"


def content_of(rows: Iterable[Row], card: str) -> dict[str, bytes]:
    """The files of a dataset, by name; none for a split without rows."""
    files = {CARD: card.encode("utf-8", "replace")}
    listed = list(rows)
    for split in SPLITS:
        lines = [orjson.dumps(line_of(row)) + b"\n" for row in listed if row.split == split]
        if lines:
            files[name_of(split)] = b"".join(lines)
    return files


def hashes_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each."""
    return {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}


def write(root: Path, digest: str, files: Mapping[str, bytes]) -> None:
    """Put a directory in its place, durable when this returns. Raises ``OSError``."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = root / f"{_DRAFT}{digest[:12]}-{secrets.token_hex(8)}"
    draft.mkdir(mode=0o700)
    try:
        for name, raw in files.items():
            write_file(draft / name, raw)
        sync(draft)
        # One that a crash left behind: nobody has it on record.
        shutil.rmtree(root / digest, ignore_errors=True)
        draft.rename(root / digest)
        sync(root)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read(root: Path, digest: str, hashes: Mapping[str, str]) -> list[Row]:
    """The rows of both splits. Raises ``Damaged`` when a byte of them is not as it was."""
    rows: list[Row] = []
    for split in SPLITS:
        name = name_of(split)
        if name not in hashes:
            continue
        try:
            raw = (root / digest / name).read_bytes()
        except OSError as error:
            raise Damaged(f"{name} of dataset {digest[:12]}: {error.strerror}") from error
        if hashlib.sha256(raw).hexdigest() != hashes[name]:
            raise Damaged(f"{name} of dataset {digest[:12]} was changed")
        rows += [row_of(orjson.loads(line)) for line in raw.split(b"\n") if line]
    for row in rows:
        if row.digested() != row:
            raise Damaged(f"row {row.digest[:12]} of dataset {digest[:12]} has another content")
    return rows


def of_exchange(root: Path, digest: str, exchange_id: str) -> Iterator[Row]:
    """The rows that an exchange became, without reading more than the lines that name it. Nothing
    of a directory that is gone. Raises ``Damaged``.
    """
    needle = exchange_id.encode()
    for split in SPLITS:
        try:
            with (root / digest / name_of(split)).open("rb") as lines:
                found = [row_of(orjson.loads(line)) for line in lines if needle in line]
        except FileNotFoundError:
            continue
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise Damaged(f"{name_of(split)} of dataset {digest[:12]} was changed") from error
        yield from (row for row in found if row.exchange_id == exchange_id)


def remove(root: Path, digest: str) -> None:
    """Remove a directory; nothing happens when it is not there. Raises ``OSError``."""
    path = root / digest
    if path.exists():
        shutil.rmtree(path)
        sync(root)


def sweep(root: Path, known: Iterable[str]) -> None:
    """Remove what is on nobody's record. Raises ``OSError``."""
    keep = set(known)
    if not root.is_dir():
        return
    for path in root.iterdir():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    sync(root)
