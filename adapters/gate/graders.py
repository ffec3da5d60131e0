"""How good an answer is against the accepted ones: 0 to 1. Pure.

Without a configured grader, the form of the accepted answer decides: JSON is compared field by
field, a number as a number, a few words as they are, and a sentence by the words that both have,
where every number must be the same: "30 days" and "60 days" share most words.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from adapters.corpus.tools import arguments_of, calls_in, same_calls
from adapters.flywheel.config import Grader

ALIKE: Final = 0.7
"""F1 over words from which two sentences count as the same answer."""
_FEW: Final = 3
_WORD: Final = re.compile(r"\w+", re.UNICODE)
_NUMBER: Final = re.compile(r"-?\d+(?:[.,]\d+)*")
_FENCE: Final = re.compile(r"\A```[a-z]*\n(.*)\n```\Z", re.DOTALL)
_TOLERANCE: Final = 1e-6


def graded(
    grader: Grader, answer: str, accepted: Iterable[str], names: Collection[str] = ()
) -> float:
    """The score of an answer: against the accepted one that it is nearest to.

    Calls of tools are the same or are not, whatever the grader.

    Args:
        grader: of texts.
        answer: what was said; its calls, where it makes any.
        accepted: what is right, likewise.
        names: of the tools that could be called.
    """
    found = calls_in(answer, names)

    def score(each: str) -> float:
        wanted = calls_in(each, names)
        if found or wanted:
            return float(same_calls(found, wanted))
        return _GRADERS[grader](answer, each)

    return max(map(score, accepted), default=0.0)


def is_valid(answer: str, accepted: str, names: Collection[str] = ()) -> bool:
    """Whether the answer has the form that is expected: calls where calls are, JSON where JSON is.

    Calls are of tools in ``names``, with an object as arguments.
    """
    if calls_in(accepted, names):
        calls = calls_in(answer, names)
        return bool(calls) and all(arguments_of(call) is not None for call in calls)
    wanted = parsed(accepted)
    if not isinstance(wanted, dict | list):
        return bool(answer.strip())
    found = parsed(answer)
    if isinstance(wanted, list):
        return isinstance(found, list)
    return isinstance(found, dict) and wanted.keys() <= found.keys()


def parsed(text: str) -> Any:
    """The JSON of a text, in a fence or bare; None when it is none."""
    fenced = _FENCE.match(text.strip())
    try:
        return json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None


def normalised(text: str) -> str:
    """In one spelling: NFKC, lower case, words with one space between them."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def overlap(answer: str, accepted: str) -> float:
    """F1 over words (Rajpurkar et al. 2016, SQuAD)."""
    ours, theirs = Counter(normalised(answer).split()), Counter(normalised(accepted).split())
    if not ours or not theirs:
        return float(ours == theirs)
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total())


def _exact(answer: str, accepted: str) -> float:
    return float(answer.strip() == accepted.strip())


def _match(answer: str, accepted: str) -> float:
    return float(normalised(answer) == normalised(accepted))


def _words(answer: str, accepted: str) -> float:
    same = Counter(_numbers(answer)) == Counter(_numbers(accepted))
    return float(same and overlap(answer, accepted) >= ALIKE)


def _numeric(answer: str, accepted: str) -> float:
    """The last number of the answer, which follows whatever led to it."""
    ours, theirs = _numbers(answer), _numbers(accepted)
    if not ours or not theirs:
        return _match(answer, accepted)
    return float(math.isclose(ours[-1], theirs[-1], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE))


def _fields(answer: str, accepted: str) -> float:
    """The share of the accepted answer's fields that the answer has too."""
    wanted, found = parsed(accepted), parsed(answer)
    if wanted is None:
        return _match(answer, accepted)
    leaves, mine = dict(_leaves(wanted)), dict(_leaves(found))
    if not leaves:
        return float(wanted == found)
    same = sum(path in mine and _same(mine[path], value) for path, value in leaves.items())
    # Fields that nobody asked for are wrong as well.
    return same / len(leaves.keys() | mine.keys())


def _auto(answer: str, accepted: str) -> float:
    wanted = parsed(accepted)
    if isinstance(wanted, dict | list):
        return _fields(answer, accepted)
    if _NUMBER.fullmatch(accepted.strip()):
        return _numeric(answer, accepted)
    if len(normalised(accepted).split()) <= _FEW:
        return _match(answer, accepted)
    return _words(answer, accepted)


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, str) and isinstance(theirs, str):
        return normalised(ours) == normalised(theirs)
    return bool(ours == theirs)


def _leaves(value: Any, path: tuple[object, ...] = ()) -> Iterable[tuple[tuple[object, ...], Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _leaves(each, (*path, place))
    elif path:
        yield path, value


def _numbers(text: str) -> list[float]:
    found = []
    for digits in _NUMBER.findall(unicodedata.normalize("NFKC", text)):
        whole, _, decimals = digits.replace(",", ".").rpartition(".")
        # "1.000" and "1,000" are a thousand, "1.5" is not.
        grouped = len(decimals) == 3 and whole
        plain = digits.replace(",", "").replace(".", "") if grouped else None
        found.append(float(plain or f"{whole.replace('.', '')}.{decimals}" if whole else digits))
    return found


_GRADERS: Final[Mapping[str, Callable[[str, str], float]]] = {
    "auto": _auto,
    "exact": _exact,
    "match": _match,
    "words": _words,
    "numeric": _numeric,
    "json": _fields,
}
