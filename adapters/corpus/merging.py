"""One exchange of two: what was asked before is asked again, or more is known of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from adapters.corpus.exchange import Exchange
from adapters.corpus.folding import folded

ANSWERS: Final = "answers"
"""In an exchange's details: what else was answered, each ``{target, response}``."""
DEMONSTRATIONS: Final = "demonstrations"
"""In an exchange's details: what people say should have been answered."""
COMMENTS: Final = "comments"
SAID: Final = {ANSWERS: "response", DEMONSTRATIONS: "answer", COMMENTS: ""}
"""The field of each that holds somebody's words; empty where they are all of it."""
SIGNS: Final = "signs"
"""In an exchange's details: the reason of each signal."""
_LISTS: Final = {ANSWERS: 4, DEMONSTRATIONS: 8, COMMENTS: 8}
"""How many of each are kept, the newest."""
_MAX_SIGNALS: Final = 32
_MAX_DETAILS_BYTES: Final = 256 * 1024


def signals(before: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """All of them, each once, in the order in which they came."""
    return tuple(dict.fromkeys([*before, *more]))[:_MAX_SIGNALS]


def details(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """What is known now: lists grow, everything else is as it was said last.

    What does not fit any more is left out, log-probabilities first.
    """
    known = {**before, **more}
    if isinstance(before.get(SIGNS), Mapping) and isinstance(more.get(SIGNS), Mapping):
        known[SIGNS] = {**before[SIGNS], **more[SIGNS]}
    for name, most in _LISTS.items():
        both = [*_list(before.get(name)), *_list(more.get(name))]
        distinct = {json.dumps(each, sort_keys=True): each for each in both}
        if distinct:
            known[name] = [*distinct.values()][-most:]
    for name in ("logprobs", *sorted(known.keys() - _LISTS.keys() - {"logprobs"}), *_LISTS):
        if _size(known) <= _MAX_DETAILS_BYTES:
            break
        known.pop(name, None)
    return known


def answers(before: Exchange, again: Exchange) -> dict[str, Any]:
    """The details with another answer, if it is one."""
    known = details(before.details, _without_teacher(again.details))
    said = {folded(before.response)}
    said |= {folded(str(each.get("response", ""))) for each in _list(known.get(ANSWERS))}
    if not again.response or folded(again.response) in said:
        return known
    return details(known, {ANSWERS: [{"target": again.target, "response": again.response}]})


def _without_teacher(told: Mapping[str, Any]) -> dict[str, Any]:
    """Log-probabilities are of the answer that is kept, not of a later one."""
    return {name: each for name, each in told.items() if name != "logprobs"}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
