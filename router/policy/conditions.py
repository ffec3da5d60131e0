"""Conditions of rules: CEL, compiled once, bounded, and checked before anything is decided by them.

What is not known of a request is there all the same, so that a condition has a value: a fact or
claim that nobody stated is ``null``, and ``has(facts.x)`` asks whether it was.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import cel

from router.policy.comparisons import never_met
from router.policy.conjuncts import Atom, atoms, conjuncts, names_apart

MAX_CHARACTERS: Final = 2_000
MAX_LOOPS: Final = 2
"""``all``, ``exists`` and the like in one condition; the lists that they walk are bounded too."""
MAX_DEPTH: Final = 32
MAX_LISTED: Final = 100
"""Entries of a list that a variable may have."""
MAX_S: Final = 0.002
"""Time of one evaluation."""
_MAX_NAMES: Final = 64

_LOOP = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)")
_TEXT = r'"(?:\\.|[^"\\])*"|' + r"'(?:\\.|[^'\\])*'"
_PLAIN_TEXT = re.compile(_TEXT)
_HARD_TO_READ = re.compile(r"//|\b[rRbB]+[\"']|\"\"[\"']|''[\"']")
"""What would make the text of a condition mean something else than it seems (``conjuncts``)."""
_STATED = re.compile(_TEXT + r"|\bhas\(\s*((?:facts|claims)\.[A-Za-z_]\w*)\s*\)")
_OPEN = re.compile(_TEXT + r"|(?<![\w.])(facts|claims)\s*\.\s*([A-Za-z_]\w*)")
_OPEN_MAPS: Final = ("facts", "claims")
_TYPES: Final = frozenset(
    {"string", "int", "uint", "double", "bool", "bytes", "list", "map", "null_type", "type"}
)

SAMPLE: Final[Mapping[str, Any]] = {
    "caller": "somebody",
    "tenant": "default",
    "intent": "none",
    "confidence": 0.5,
    "entities": ["EMAIL"],
    "collections": ["handbook"],
    "subject": "somebody",
    "facts": {},
    "claims": {},
    "time": {
        "now": datetime(2026, 1, 5, 12, 30, tzinfo=UTC),
        "date": "2026-01-05",
        "weekday": "monday",
        "hour": 12,
        "minute": 30,
    },
    "request": {
        "model": "auto",
        "endpoint": "/v1/chat/completions",
        "stream": False,
        "tools": False,
        "images": 0,
        "input_tokens": 100,
        "max_output_tokens": 0,
        "priority": "standard",
    },
    "target": {
        "name": "frontier:openai/gpt",
        "kind": "frontier",
        "local": False,
        "provider": "openai",
        "model": "gpt",
        "alias": "",
        "regions": ["eu"],
        "cost_usd": 0.01,
    },
}
"""Every variable, with a value of its type."""
_EMPTY: Final = {"entities": [], "collections": [], "subject": "", "confidence": 0.0}
_GUESSES: Final = ("text", 1, 1.5, True, ["text"])
"""What a fact of which nothing was said may be."""


class BadCondition(ValueError):
    """A condition that cannot be used; the message says why."""


@dataclass(frozen=True)
class Condition:
    """One compiled condition.

    Attributes:
        source: as it stands in the rules file.
        program: the compiled form.
        variables: the variables that it reads.
        stated: the facts and claims among them, as ``facts.x``.
    """

    source: str
    program: Any
    variables: frozenset[str]
    stated: frozenset[str]

    def holds(self, context: Any) -> bool:
        """Whether it is true. Raises ``BadCondition`` when it has no answer."""
        try:
            found = self.program.execute(context)
        except Exception as error:
            raise BadCondition(_told(error)) from error
        if found is True or found is False:
            return bool(found)
        raise BadCondition(f"it is {type(found).__name__}, not true or false")

    @property
    def is_about_targets(self) -> bool:
        """Whether each candidate has its own answer."""
        return "target" in self.variables

    @cached_property
    def conjuncts(self) -> tuple[str, ...]:
        """Its parts between ``&&`` at the top."""
        return tuple(conjuncts(self.source))

    @cached_property
    def atoms(self) -> tuple[Atom, ...]:
        """Those of its conjuncts that compare one variable with fixed values."""
        return tuple(atoms(self.conjuncts))


def compiled(
    source: str, declared: Mapping[str, str] | None = None, *, checked: bool = True
) -> Condition:
    """Compile and check.

    Args:
        source: CEL.
        declared: types of facts, by name.
        checked: whether types are tried; somebody did, where not.

    Raises:
        BadCondition: too large, not CEL, unknown names, or types that do not fit.
    """
    if len(source) > MAX_CHARACTERS:
        raise BadCondition(f"it is longer than {MAX_CHARACTERS} characters")
    if _HARD_TO_READ.search(_PLAIN_TEXT.sub('""', source)):
        raise BadCondition("raw and triple-quoted texts and comments are not allowed")
    if _depth(_PLAIN_TEXT.sub("", source)) > MAX_DEPTH:
        raise BadCondition(f"brackets are nested deeper than {MAX_DEPTH} levels")
    bound = _LOOP.findall(source)
    if len(bound) > MAX_LOOPS:
        raise BadCondition(f"it has more than {MAX_LOOPS} loops (all, exists, map, filter)")
    try:
        program = cel.compile(_STATED.sub(_whether_stated, source))
        names = program.references()
    except Exception as error:
        raise BadCondition(_told(error)) from error
    variables = frozenset(names["variables"]) - set(bound) - _TYPES
    unknown = sorted(variables - SAMPLE.keys())
    if unknown:
        raise BadCondition(f"unknown variables {unknown}; known: {sorted(SAMPLE)}")
    stated = frozenset(f"{m[1]}.{m[2]}" for m in _OPEN.finditer(source) if m[1])
    if len(stated) > _MAX_NAMES:
        raise BadCondition(f"it names more than {_MAX_NAMES} facts and claims")
    found = Condition(source, program, variables, stated)
    if checked:
        _check(found, declared or {})
    return found


def _depth(source: str) -> int:
    depth = deepest = 0
    for letter in source:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _whether_stated(match: re.Match[str]) -> str:
    return f"({match[1]} != null)" if match[1] else match[0]


def _told(error: BaseException) -> str:
    """The library's words, the first line of them."""
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r}"
    if isinstance(error, TypeError):
        return "its types do not fit: " + str(error).split(". ", 1)[0]
    lines = [line for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("ERROR")), lines[0] if lines else "")
    return told.replace("ERROR: <input>:", "at ").split(". Check that", 1)[0][:300]


# Types


def context_of(values: Mapping[str, Any]) -> Any:
    """Values as conditions read them; made once for all conditions of one request."""
    return cel.Context(variables=dict(values))


def _check(condition: Condition, declared: Mapping[str, str]) -> None:
    """Try it with values of every type that it may meet."""
    if slip := never_met(condition.source, SAMPLE):
        raise BadCondition(slip)
    for part in condition.conjuncts:
        for piece in names_apart(part):
            _check_atom(condition, piece, declared)
    worlds = list(_worlds(condition, declared))
    for world, why in worlds:
        try:
            condition.holds(context_of(world))
        except BadCondition as error:
            raise BadCondition(f"{error}{why}") from error
    if _LOOP.search(condition.source):
        _check_cost(condition)


def _check_cost(condition: Condition) -> None:
    """Loops inside loops, over lists as long as they may be."""
    long = {name: value * MAX_LISTED for name, value in SAMPLE.items() if isinstance(value, list)}
    world = _world({**SAMPLE, **long}, condition.stated, lambda _: ["text"] * MAX_LISTED)
    context, took_s = context_of(world), []
    for _ in range(3):
        began = time.thread_time()
        with contextlib.suppress(BadCondition):
            condition.holds(context)
        took_s.append(time.thread_time() - began)
    if min(took_s) > MAX_S:
        raise BadCondition(f"it takes more than {MAX_S * 1000:g} ms")


def _check_atom(condition: Condition, piece: str, declared: Mapping[str, str]) -> None:
    """A part by itself, since ``&&`` and ``||`` hide what goes wrong behind them.

    A comparison that holds of no type at all is wrong; one that fits only some guesses is not.
    """
    try:
        program = cel.compile(_STATED.sub(_whether_stated, piece))
        variables = set(program.references()["variables"]) - _TYPES
    except Exception:  # noqa: BLE001 - not a whole expression: it is judged with the rest
        return
    if not variables <= SAMPLE.keys():
        return  # inside a loop
    refusal: Exception | None = None
    for values in _tries(condition, declared):
        try:
            program.execute(context_of(values))
            return
        except TypeError as error:
            refusal = error
        except Exception:  # noqa: BLE001 - a fault of the value, not of the type
            return
    if refusal is not None:
        raise BadCondition(f"in {piece.strip()!r} {_told(refusal)}") from refusal


def _tries(condition: Condition, declared: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    usual = {name: SAMPLE[name] for name in condition.variables}
    for guess in _GUESSES if condition.stated else _GUESSES[:1]:

        def value(name: str, guess: Any = guess) -> Any:
            return value_of(declared.get(name)) or guess

        yield _world(usual, condition.stated, value)


def _worlds(
    condition: Condition, declared: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Requests that may come, each with a hint for whoever wrote a condition that fails there."""
    known = {
        name for name in condition.stated if name.partition(".")[2] in declared or name[0] == "c"
    }
    met = {atom.path: atom.example for atom in condition.atoms if atom.example is not None}
    usual = {name: SAMPLE[name] for name in condition.variables}
    empty = {name: _EMPTY.get(name, value) for name, value in usual.items()}
    for base in (usual,) if empty == usual else (usual, empty):
        for name in (*sorted(condition.stated), ""):
            missing = f": {name} may be missing; ask has({name}) first" if name else ""

            def value(each: str, without: str = name) -> Any:
                if without in (f"facts.{each}", f"claims.{each}"):
                    return None
                if f"facts.{each}" in known:
                    return value_of(declared.get(each))
                return met.get(f"facts.{each}")

            world = _world(base, condition.stated, value)
            yield world, missing
            yield _with(world, met), missing


def _world(
    base: Mapping[str, Any], stated: frozenset[str], value: Callable[[str], Any]
) -> dict[str, Any]:
    world = dict(base)
    for kind in (each for each in _OPEN_MAPS if each in base):
        names = [each.partition(".")[2] for each in stated if each.startswith(kind + ".")]
        world[kind] = {name: value(name) for name in names}
    return world


def _with(world: Mapping[str, Any], met: Mapping[str, Any]) -> dict[str, Any]:
    """The same where the guards of a condition hold, so that what they guard is reached."""
    found = dict(world)
    for path, value in met.items():
        head, _, rest = path.partition(".")
        if not rest and head in found:
            found[head] = value
        elif rest and isinstance(found.get(head), dict) and head not in _OPEN_MAPS:
            found[head] = {**found[head], rest: value}
    return found


def value_of(kind: str | None) -> Any:
    """A value of a declared type; None of none."""
    return {"string": "text", "number": 1.5, "integer": 1, "boolean": True, "list": ["text"]}.get(
        kind or ""
    )
