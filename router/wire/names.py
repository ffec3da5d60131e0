"""What nobody reads as a text: keys, ids and words of the protocol, in which a value can hide.

They are not rewritten: a changed id or key would mean something else. So who must not see what is
in one is not asked (``govern.governance``).
"""

from __future__ import annotations

import re
from typing import Any, Final

from router.wire import words
from router.wire.inner import only_encoded
from router.wire.texts import LONG_NUMBER, is_long_number

MAX_CHARS: Final = 512
"""A longer one of base64's letters is encoded media or a provider's own, and is no name."""
LEAST_CHARS: Final = 16
"""A shorter word of letters, digits and underscores is nobody's."""
_ENCODED: Final = frozenset(
    {
        "bytes",
        "embedding",
        "encrypted_content",
        "kv_transfer_params",
        "obfuscation",
        "prompt_token_ids",
        "signature",
        "thought_signature",
        "token_ids",
    }
)
"""Fields of what nobody wrote. A string there that is not encoded is a name as others."""
_PATTERN: Final = "pattern"
_ESCAPED: Final = re.compile(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\([^\w\s])")
_ANY: Final = re.compile(
    r"\\[A-Za-z]|\[(?:[^\]\\]|\\.){2,64}\]|\{[\d,]*\}|\(\?[^)]{0,2}[:=!]|[\[\]^$|+*?]"
)
_HELD: Final = {each: chr(0xE000 + place) for place, each in enumerate(".^$|+*?()[]{}\\")}
"""Signs that were escaped, while what means something else is taken away."""
_MEANT: Final = {ord(held): sign for sign, held in _HELD.items()}
_DEFINED: Final = words.PROTOCOL | words.SCHEMA_WORDS
_HOLD_OTHERS: Final = frozenset({dict, list})
_Names = dict[str, None]
_Part = tuple[Any, frozenset[str], bool]
"""What is looked at; the fields whose strings are names there; whether all of its strings are."""


def names(body: dict[str, Any]) -> tuple[str, ...]:
    """Those of a request that are not plainly a word, each once.

    ``texts`` sees everything else. The body was surveyed before, so that its size is bounded.
    """
    found: _Names = {}
    left: list[_Part] = [(body, words.PROTOCOL, False)]
    while left:
        value, ids, is_id = left.pop()
        if type(value) is dict:
            found |= _of_object(value, ids, is_id, left, is_top=value is body)
        elif not _is_flat(value):
            left += [(each, ids, is_id) for each in value if type(each) in (dict, list)]
        if is_id and type(value) is list and not _is_of_small_numbers(value):
            found.update(dict.fromkeys(_said(each) for each in value if _may_hide(each)))
    return tuple(found)


def _of_object(
    value: dict[str, Any], ids: frozenset[str], is_id: bool, left: list[_Part], *, is_top: bool
) -> _Names:
    """The names of an object itself; what is to be looked at below it goes to ``left``.

    ``is_top``: it is the body. The data of a call, below, is looked at elsewhere.
    """
    found: _Names = {}
    own = value.get("type")
    is_call = own in words.CALLS if type(own) is str else "arguments" in value
    has_data = is_call and not is_id and ids is not _DEFINED and not is_top
    for key, each in value.items():
        if (len(key) >= LEAST_CHARS or not key.isidentifier()) and _may_hide(key):
            found[key] = None
        kind = type(each)
        if is_top and key == "model":
            continue  # the model that is asked for is one that is known, or nobody's
        if kind is str and (key in words.MEDIA or (key in _ENCODED and only_encoded(each))):
            continue
        if has_data and key in words.DATA_OF_A_CALL:
            continue  # its keys are texts
        is_word = is_id or key in words.MACHINERY or key in _ENCODED or (is_call and key == "name")
        if kind not in _HOLD_OTHERS:
            if (is_word or key in ids) and _may_hide(each):
                said = _said(each)
                found[literal(said) if key == _PATTERN else said] = None
            continue
        is_defined = key in words.DEFINITIONS or (key == "text" and kind is dict)
        is_words = kind is list and ids is _DEFINED and key in ids
        left.append((each, _DEFINED if is_defined else ids, is_word or is_words))
    return found


def _is_flat(value: list[Any]) -> bool:
    """Whether nothing is below it; looked at without a step for each: it may be token ids."""
    return {dict, list}.isdisjoint(map(type, value))


def _is_of_small_numbers(value: list[Any]) -> bool:
    """Whether it is one of token ids, or an embedding; also looked at without a step for each."""
    if not value or not set(map(type, value)) <= {int, float}:
        return False
    return bool(min(value) > -LONG_NUMBER and max(value) < LONG_NUMBER)


def _may_hide(value: Any) -> bool:
    if type(value) is not str:
        return is_long_number(value)
    if len(value) > MAX_CHARS and only_encoded(value):
        return False
    return len(value) >= LEAST_CHARS or not value.isidentifier()


def _said(value: Any) -> str:
    return value if type(value) is str else str(int(value))


def literal(pattern: str) -> str:
    r"""What a regular expression matches letter by letter, spaces for the rest of it.

    ``^ann@example\.org$`` holds an address, ``^[a-z]+@example\.org$`` none.
    """
    read = _ESCAPED.sub(_sign, pattern)
    return f" {_ANY.sub(' ', read).replace('(', '').replace(')', '').translate(_MEANT)} "


def _sign(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    sign = chr(int(code, 16)) if code else found[3]
    return _HELD.get(sign, sign)


def is_spelled_out(name: str) -> bool:
    """Whether it has what no id has: an ``@``, a space, a plus, or numbers and signs alone. What
    else there is in others is chance: any long number is a telephone somewhere.
    """
    if any(sign in name for sign in "@ +"):
        return True
    return not name.isdigit() and not any(map(str.isalpha, name))
