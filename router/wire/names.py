"""What nobody reads as a text: keys, ids and words of the protocol, in which a value can hide.

They are not rewritten: a changed id or key would mean something else. So who must not see what is
in one is not asked (``govern.governance``).
"""

from __future__ import annotations

from typing import Any, Final

from router.wire import words

MAX_CHARS: Final = 512
"""A longer one is encoded media or a provider's own, and is no name."""
LEAST_CHARS: Final = 16
"""A shorter word of letters, digits and underscores is nobody's."""
_NO_NAMES: Final = words.MEDIA | {
    "bytes",
    "embedding",
    "encrypted_content",
    "kv_transfer_params",
    "obfuscation",
    "pattern",
    "prompt_token_ids",
    "signature",
    "thought_signature",
    "token_ids",
}
_DEFINED: Final = words.PROTOCOL | words.SCHEMA_WORDS
_LOOKED_INTO: Final = frozenset({str, dict, list})
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
        if is_id and type(value) is list:
            found.update(dict.fromkeys(each for each in value if _may_hide(each)))
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
        if kind not in _LOOKED_INTO or key in _NO_NAMES or (is_top and key == "model"):
            continue  # the model that is asked for is one that is known, or nobody's
        if has_data and key in words.DATA_OF_A_CALL:
            continue  # its keys are texts
        is_word = is_id or key in words.MACHINERY or (is_call and key == "name")
        if kind is str:
            if (is_word or key in ids) and _may_hide(each):
                found[each] = None
            continue
        is_defined = key in words.DEFINITIONS or (key == "text" and kind is dict)
        is_words = kind is list and ids is _DEFINED and key in ids
        left.append((each, _DEFINED if is_defined else ids, is_word or is_words))
    return found


def _is_flat(value: list[Any]) -> bool:
    """Whether nothing is below it; looked at without a step for each: it may be token ids."""
    return {dict, list}.isdisjoint(map(type, value))


def _may_hide(value: Any) -> bool:
    if type(value) is not str or len(value) > MAX_CHARS:
        return False
    return len(value) >= LEAST_CHARS or not value.isidentifier()


def is_spelled_out(name: str) -> bool:
    """Whether it has what no id has: an ``@`` or a space. What else there is in others is chance:
    any long number is a telephone somewhere.
    """
    return "@" in name or " " in name
