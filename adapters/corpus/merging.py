"""One exchange of two: what was asked before is asked again, or more is known of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from adapters.corpus import tools
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
_OF_AN_ANSWER: Final = frozenset({"logprobs", tools.CALLS})
_OF_A_PROMPT: Final = frozenset({tools.TOOLS, tools.FUNCTIONS, tools.CALLS})
"""Without any of these an exchange is another one."""
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
        if known.pop(name, None) and name in _OF_A_PROMPT:
            known[tools.LEFT_OUT] = tools.TOO_LARGE
    return known


def answers(before: Exchange, again: Exchange) -> dict[str, Any]:
    """The details with another answer, if it is one."""
    known = details(before.details, _of_the_request(again.details))
    said = {folded(before.response)}
    said |= {folded(str(each.get("response", ""))) for each in _list(known.get(ANSWERS))}
    response = _response(again)
    if not response or folded(response) in said:
        return known
    return details(known, {ANSWERS: [{"target": again.target, "response": response}]})


def _response(again: Exchange) -> str:
    """What is kept of another answer: where it calls tools, the calls, which decide."""
    calls = tools.calls_of(again.details.get(tools.CALLS), tools.offered(again.details).names)
    return tools.written(calls) if calls else again.response


def _of_the_request(told: Mapping[str, Any]) -> dict[str, Any]:
    """Calls and log-probabilities are those of the answer that is kept, not of a later one."""
    return {name: each for name, each in told.items() if name not in _OF_AN_ANSWER}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
