"""The teacher's own log-probabilities, as far as its tokens are the base's tokens.

A provider names tokens by their text. Where the student cuts an answer at the same places, each of
the teacher's top tokens that the student has as well is a target; what the student does not have
stays in the rest. Two tokenizers that cut differently give nothing to compare, and then nothing is
compared: the training says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from adapters.distill.encode import Encoded

_ALIGNED_SHARE = 0.9
_MOST_TOP = 20


class Spelling(Protocol):
    """What a tokenizer's ids read as."""

    def __len__(self) -> int: ...
    def decode(self, ids: Any) -> Any: ...


def with_teacher(
    encoded: Sequence[Encoded], logprobs: Mapping[str, Any], tokenizer: Spelling
) -> tuple[list[Encoded], str]:
    """Rows with the teacher's probabilities where they fit (by digest), and a note about it."""
    given = [row for row in encoded if _tokens(logprobs.get(row.digest))]
    if not given:
        return list(encoded), "no distance to the teacher: no row has its log-probabilities"
    ids = _vocabulary(tokenizer)
    aligned = {
        row.digest: found
        for row in given
        if (found := _aligned(row, _tokens(logprobs[row.digest]), ids, tokenizer)) is not None
    }
    if len(aligned) < _ALIGNED_SHARE * len(given):
        return list(encoded), (
            f"no distance to the teacher: its tokens are not this base's ({len(aligned)} of "
            f"{len(given)} answers are cut at the same places)"
        )
    rows = [replace(row, teacher=aligned.get(row.digest)) for row in encoded]
    return rows, f"distance to the teacher's log-probabilities on {len(aligned)} rows"


def _tokens(given: Any) -> list[Mapping[str, Any]]:
    """OpenAI's list, with or without the object around it; nothing for anything else."""
    content = given.get("content") if isinstance(given, Mapping) else given
    if not isinstance(content, list):
        return []
    usable = [t for t in content if isinstance(t, Mapping) and isinstance(t.get("token"), str)]
    return usable if len(usable) == len(content) else []


def _vocabulary(tokenizer: Spelling) -> dict[str, int]:
    """Ids by their text; a text that several ids share, or that is half a character, is none's."""
    found: dict[str, int] = {}
    twice: set[str] = set()
    for number in range(len(tokenizer)):
        text = str(tokenizer.decode([number]))
        if text in found or "\ufffd" in text or not text:
            twice.add(text)
        else:
            found[text] = number
    return {text: number for text, number in found.items() if text not in twice}


def _aligned(
    row: Encoded, theirs: Sequence[Mapping[str, Any]], ids: Mapping[str, int], tokenizer: Spelling
) -> tuple[Mapping[int, float], ...] | None:
    """Per trained token the teacher's probabilities; None where the tokens are not the same."""
    ours = row.ids[row.start :]
    # The end mark is no token of a provider's answer.
    if len(theirs) not in {len(ours), len(ours) - 1}:
        return None
    found: list[Mapping[int, float]] = []
    for token, said in zip(ours, theirs, strict=False):
        if str(tokenizer.decode([token])) != said["token"]:
            return None
        found.append(_probabilities(said, ids))
    return (*found, *({},) * (len(ours) - len(found)))


def _probabilities(said: Mapping[str, Any], ids: Mapping[str, int]) -> dict[int, float]:
    top = said.get("top_logprobs")
    found: dict[int, float] = {}
    listed = top[:_MOST_TOP] if isinstance(top, list) else []
    for each in (each for each in listed if isinstance(each, Mapping)):
        token, logprob = ids.get(str(each.get("token"))), each.get("logprob")
        if token is not None and isinstance(logprob, int | float) and logprob <= 0:
            found[token] = math.exp(logprob)
    total = sum(found.values())
    # Rounded by the provider, they may add up to a little more than 1.
    return {token: p / max(1.0, total) for token, p in found.items()}
