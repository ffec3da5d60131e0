"""The answers that reviewers may choose from, beside the one that was given. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from adapters.corpus import tools
from adapters.corpus.exchange import Exchange
from adapters.corpus.merging import ANSWERS, DEMONSTRATIONS
from adapters.review.item import Candidate
from adapters.review.verdicts import DEMONSTRATION, folded

_SAYING = ("response", "answer", "text", "content", "value")


def offered(exchange: Exchange, more: Iterable[Candidate] = ()) -> tuple[Candidate, ...]:
    """Each answer once: demonstrations, what other targets answered, and ``more``."""
    names = tools.offered(exchange.details).names
    found = [
        *(_demonstrated(each) for each in _list(exchange.details.get(DEMONSTRATIONS))),
        *(_answered(each) for each in _list(exchange.details.get(ANSWERS))),
        *more,
    ]
    distinct: dict[str, Candidate] = {}
    for one in found:
        each = replace(one, answer=tools.in_one_spelling(one.answer, names))
        if each.answer.strip() and each.answer != exchange.response:
            distinct.setdefault(folded(each.answer), each)
    return tuple(distinct.values())


def _demonstrated(told: Any) -> Candidate:
    return Candidate(DEMONSTRATION, _text(told))


def _answered(told: Any) -> Candidate:
    target = told.get("target") if isinstance(told, Mapping) else None
    return Candidate(str(target or "other"), _text(told))


def _text(told: Any) -> str:
    """What a client called the right answer: a text, a message, or any JSON."""
    if isinstance(told, str):
        return told
    if isinstance(told, Mapping):
        for name in _SAYING:
            if isinstance(told.get(name), str):
                return str(told[name])
    return json.dumps(told, ensure_ascii=False)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
