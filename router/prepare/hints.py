"""What the client wishes: ``x-graftwork-`` headers, and their twins in the body's ``graftwork``.

Both are looked at, and either that cannot be read is refused. Where both say something, a header
goes first, so that a gateway on the way can set it; but ``no_capture`` holds where either says it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from router.errors import InvalidRequest
from router.request import Hints

EXTENSION: Final = "graftwork"
_MAX_NAME: Final = 256
_MAX_SUBJECT: Final = 1024
_MAX_COLLECTIONS: Final = 32
_MAX_TARGETS: Final = 16
_MAX_FACTS: Final = 64
_MAX_FACT_CHARS: Final = 1000
_MAX_FACT_NUMBER: Final = 2**63
_FLAGS: Final = {"true": True, "false": False}


def read_hints(headers: Mapping[str, str], extension: Any, body: Mapping[str, Any]) -> Hints:
    """The wishes of one request. Raises ``InvalidRequest`` naming the one that cannot be read.

    Args:
        headers: by lower-case name.
        extension: the body's ``graftwork``, whatever it is.
        body: the rest of it.
    """
    said = {} if extension is None else _stated(extension)
    told: dict[str, Any] = {}
    for name, (header, read) in _HEADERS.items():
        text = headers.get(header)
        if text is not None:
            told[name] = read(text, name)
    if not said and not told:
        return Hints(trim=body.get("truncation") == "auto")
    either = {**said, **told}
    timeout_ms = either.get("timeout_ms")
    return Hints(
        subject=said.get("subject"),  # the header's is looked up where subjects are
        max_cost_usd=either.get("max_cost_usd"),
        session=either.get("session"),
        timeout_s=None if timeout_ms is None else timeout_ms / 1000,
        intent=either.get("intent"),
        fallback=either.get("fallback", False),
        no_capture=said.get("no_capture", False) or told.get("no_capture", False),
        fallbacks=either.get("fallbacks", ()),
        context=either.get("context"),
        trim=said.get("truncation", False) or body.get("truncation") == "auto",
        facts=said.get("facts", {}),
    )


def _stated(extension: Any) -> dict[str, Any]:
    """What the body says; null says nothing."""
    if not isinstance(extension, dict):
        raise InvalidRequest(f"'{EXTENSION}' must be an object.", param=EXTENSION)
    unknown = sorted(extension.keys() - _FIELDS.keys())
    if unknown:
        raise InvalidRequest(
            f"'{EXTENSION}' has unknown fields {unknown}; known: {sorted(_FIELDS)}.",
            param=EXTENSION,
        )
    return {name: _FIELDS[name](v, name) for name, v in extension.items() if v is not None}


def _refused(name: str, must: str) -> InvalidRequest:
    return InvalidRequest(f"'{name}' must be {must}.", param=f"{EXTENSION}.{name}")


def _session(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_NAME:
        raise _refused(name, f"a string of at most {_MAX_NAME} characters")
    return value


def _intent(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        raise _refused(name, f"a string of 1 to {_MAX_NAME} characters")
    return value


def _subject(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_SUBJECT:
        raise _refused(name, f"a string of 1 to {_MAX_SUBJECT} characters")
    return value


def _subject_header(text: str, name: str) -> str:
    """An empty header says nothing: gateways send it where nobody is logged in."""
    return _subject(text, name) if text else text


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise _refused(name, "true or false")
    return value


def _flag_header(text: str, name: str) -> bool:
    return _flag(_FLAGS.get(text.strip().lower()), name)


def _cost(value: Any, name: str) -> float:
    found = _number(value)
    if found is None or found < 0:
        raise _refused(name, "a number of at least 0")
    return found


def _timeout(value: Any, name: str) -> float:
    found = _number(value)
    if found is None or found <= 0:
        raise _refused(name, "a number above 0")
    return found


def _number(value: Any) -> float | None:
    """A finite number, perhaps written as text; None for anything else."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def _context(value: Any, name: str) -> tuple[str, ...]:
    """Names between commas, or a list of them; ``none`` for no collection."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise _refused(name, "names of collections")
    found = tuple(dict.fromkeys(each.strip() for each in names if each.strip()))
    if len(found) > _MAX_COLLECTIONS or any(len(each) > _MAX_NAME for each in found):
        raise InvalidRequest(
            f"'{name}' may name {_MAX_COLLECTIONS} collections.", param=f"{EXTENSION}.{name}"
        )
    return found


def _fallbacks(value: Any, name: str) -> tuple[str, ...]:
    """Names between commas, or a list of them."""
    names = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
    if (
        not isinstance(names, list)
        or len(names) > _MAX_TARGETS
        or not all(isinstance(each, str) and 0 < len(each) <= _MAX_NAME for each in names)
    ):
        raise _refused(name, f"a list of at most {_MAX_TARGETS} models' names")
    return tuple(dict.fromkeys(names))


def _truncation(value: Any, name: str) -> bool:
    """As in the Responses API: ``auto`` lets the oldest turns go, ``disabled`` does not."""
    if value not in ("auto", "disabled"):
        raise _refused(name, "'auto' or 'disabled'")
    return bool(value == "auto")


def _facts(value: Any, name: str) -> dict[str, Any]:
    """What the client says for rules: a few names, each with a value or a short list of them."""
    if not isinstance(value, dict) or len(value) > _MAX_FACTS:
        raise _refused(name, f"an object of at most {_MAX_FACTS} names")
    for fact, each in value.items():
        values = each if isinstance(each, list) else [each]
        if len(values) > _MAX_FACTS or not all(map(_is_fact, values)):
            raise InvalidRequest(
                f"The fact {fact[:64]!r} must be a text of at most {_MAX_FACT_CHARS} characters, a "
                f"number, true, false, or a list of at most {_MAX_FACTS} of them.",
                param=f"{EXTENSION}.{name}",
            )
    return value


def _is_fact(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_FACT_CHARS
    return isinstance(value, float | bool | None) or (
        isinstance(value, int) and abs(value) < _MAX_FACT_NUMBER
    )


_Read = Callable[[Any, str], Any]
_FIELDS: Final[Mapping[str, _Read]] = {
    "max_cost_usd": _cost,
    "session": _session,
    "subject": _subject,
    "timeout_ms": _timeout,
    "intent": _intent,
    "fallback": _flag,
    "fallbacks": _fallbacks,
    "no_capture": _flag,
    "context": _context,
    "truncation": _truncation,
    "facts": _facts,
}
_HEADERS: Final[Mapping[str, tuple[str, _Read]]] = {
    "max_cost_usd": ("x-graftwork-max-cost-usd", _cost),
    "session": ("x-graftwork-session", _session),
    "subject": ("x-graftwork-subject", _subject_header),
    "timeout_ms": ("x-graftwork-timeout-ms", _timeout),
    "intent": ("x-graftwork-intent", _intent),
    "fallback": ("x-graftwork-fallback", _flag_header),
    "fallbacks": ("x-graftwork-fallbacks", _fallbacks),
    "no_capture": ("x-graftwork-no-capture", _flag_header),
    "context": ("x-graftwork-context", _context),
}
"""``facts`` and ``truncation`` have no header of their own (``trust.headers`` names gateways')."""
