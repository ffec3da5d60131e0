"""From a gold answer to a row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from adapters.corpus.tools import in_one_spelling
from adapters.dataset.frozen import Row, input_digest
from adapters.review.gold import Gold

_EXACT: Final = 2**53


def row_of(gold: Gold) -> Row:
    """A row that belongs to no split yet. Raises ``ValueError`` when it has no canonical JSON."""
    tools = tuple(whole(tool) for tool in gold.tools)
    return Row(
        digest="",
        messages=tuple(whole(message) for message in gold.messages),
        answer=settled(whole(gold.answer), tools),
        intent=gold.intent,
        tenant=gold.tenant,
        split="train",
        exchange_id=gold.exchange_id,
        provenance=gold.provenance,
        reviewers=tuple(gold.reviewers),
        teacher=gold.teacher,
        at=gold.at,
        subjects=tuple(sorted(gold.subjects)),
        logprobs=whole((gold.details or {}).get("logprobs")),
        conversation=conversation_of(gold.tenant, gold.session),
        tools=tools,
        calls=tuple(whole(call) for call in gold.calls),
    ).digested()


def settled(answer: str, tools: Sequence[Mapping[str, Any]]) -> str:
    """An answer in the one spelling that calls of the offered tools have; any other as it is."""
    return in_one_spelling(answer, (tool["function"]["name"] for tool in tools))


def conversation_of(tenant: str, session: str) -> str:
    """Stands for a session, whose name clients choose; empty without one."""
    if not session:
        return ""
    return hashlib.sha256(f"{tenant}\n{session}".encode("utf-8", "replace")).hexdigest()[:32]


def whole(value: Any) -> Any:
    """JSON that RFC 8785 can write: half characters replaced, numbers as doubles hold them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, Mapping):
        return {whole(str(key)): whole(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [whole(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _EXACT:
        return float(value)
    return value


def imported_id(
    messages: Iterable[Mapping[str, Any]], intent: str, tools: Sequence[Mapping[str, Any]] = ()
) -> str:
    """What stands for the exchange of a row that came from a file: the same for the same input."""
    asked = [*messages, {"tools": list(tools)}] if tools else messages
    digest = hashlib.sha256(f"{intent}\n{input_digest(asked)}".encode("utf-8", "replace"))
    return f"imp_{digest.hexdigest()[:32]}"
