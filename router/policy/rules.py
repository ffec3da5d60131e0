"""Rules as they are written: a file is read, checked and compiled; errors have rule and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from router.policy.conditions import SAMPLE, BadCondition, Condition, compiled
from router.policy.document import Node, PolicyInvalid, Problem, read
from router.policy.obligations import kind_of
from router.ruling import Obligation, Requirement, Review

MAX_RULES: Final = 10_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FACT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FACT_TYPES: Final = ("string", "number", "integer", "boolean", "list")
_TOP: Final = frozenset({"description", "timezone", "facts", "rules"})
_EFFECTS: Final = ("deny", "require", "review", "instruct", "oblige")
_FIELDS: Final = frozenset({"id", "description", "when", "examples", *_EFFECTS})
_EXAMPLE: Final = frozenset({"given", "applies", "answer", "violates"})
_MAX_TEXT: Final = 4_000
_ALWAYS: Final = "true"


@dataclass(frozen=True, slots=True)
class Example:
    """What a rule's author says that it does.

    Attributes:
        given: values of variables; the others are as nobody said anything.
        applies: whether the rule does.
        answer: a text that the rule's obligations are held against.
        violates: whether it breaks one of them.
        line: where it is written.
    """

    given: Mapping[str, Any]
    applies: bool
    answer: str | None
    violates: bool
    line: int


@dataclass(frozen=True)
class Rule:
    """One rule: where its condition holds, all of its effects do."""

    id: str
    line: int
    condition: Condition
    deny: str | None = None
    requirement: Requirement | None = None
    review: Review | None = None
    instruct: str | None = None
    obligations: tuple[Obligation, ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class RulesFile:
    """A file of rules that makes sense by itself."""

    rules: tuple[Rule, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Types of facts, by name, where the file declares them."""
    timezone: tzinfo = UTC


def parse(source: bytes, *, checked: bool = True) -> RulesFile:
    """Read and compile. Raises ``PolicyInvalid`` with everything that is wrong.

    ``checked``: types are tried; for a file that was once accepted that need not be.
    """
    parsing = _Parsing(read(source), checked=checked)
    found = parsing.file()
    if parsing.problems:
        raise PolicyInvalid(parsing.problems)
    return found


class _Bad(Exception):
    """One part makes no sense; the rest is looked at all the same."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Parsing:
    def __init__(self, root: Node, *, checked: bool) -> None:
        self._root = root
        self._checked = checked
        self._facts: dict[str, str] = {}
        self.problems: list[Problem] = []

    def file(self) -> RulesFile:
        if self._root.value is None:
            if self._checked:  # a file that was cut or never written must not take all rules away
                why = "the file says nothing: write 'rules: []' where no rule is to hold"
                self.problems.append(Problem(why, 1))
            return RulesFile()
        try:
            top = _mapping(self._root, _TOP, "the file")
        except _Bad as bad:
            self._tell(bad, None)
            return RulesFile()
        zone: tzinfo = UTC
        for name, reader in (("facts", self._declared), ("description", _text)):
            if name in top:
                self._try(reader, top[name])
        if "timezone" in top:
            zone = self._try(_zone, top["timezone"]) or zone
        rules = self._try(self._rules, top["rules"]) if "rules" in top else ()
        return RulesFile(tuple(rules or ()), self._facts, zone)

    def _try(self, reader: Any, node: Node, rule: str | None = None) -> Any:
        try:
            return reader(node)
        except _Bad as bad:
            self._tell(bad, rule)
            return None

    def _tell(self, bad: _Bad, rule: str | None) -> None:
        self.problems.append(Problem(str(bad), bad.line, rule))

    def _declared(self, node: Node) -> None:
        for name, each in _mapping(node, None, "'facts'").items():
            if not _FACT.fullmatch(name):
                raise _Bad(f"{name!r} cannot name a fact: letters, digits and _", each.line)
            if each.value not in _FACT_TYPES:
                raise _Bad(f"the fact {name!r} must be one of {', '.join(_FACT_TYPES)}", each.line)
            self._facts[name] = each.value

    def _rules(self, node: Node) -> list[Rule]:
        if not isinstance(node.value, list):
            raise _Bad("'rules' must be a list", node.line)
        if len(node.value) > MAX_RULES:
            raise _Bad(f"more than {MAX_RULES} rules", node.line)
        found: list[Rule] = []
        seen: dict[str, int] = {}
        for each in node.value:
            rule = self._rule(each)
            if rule is None:
                continue
            if rule.id in seen:
                told = f"the id {rule.id!r} is used twice (line {seen[rule.id]})"
                self.problems.append(Problem(told, rule.line, rule.id))
            seen.setdefault(rule.id, rule.line)
            found.append(rule)
        return found

    def _rule(self, node: Node) -> Rule | None:
        name: str | None = None
        try:
            fields = _mapping(node, None, "a rule")
            name = _id(fields.get("id"), node)
            _known(fields, _FIELDS, f"the rule {name!r}")
            _effective(fields, node)
        except _Bad as bad:
            self._tell(bad, name)
            return None
        before = len(self.problems)
        made = self._made(name, node.line, fields)
        return made if len(self.problems) == before else None

    def _made(self, name: str, line: int, fields: dict[str, Node]) -> Rule | None:
        def part(key: str, reader: Any) -> Any:
            return self._try(reader, fields[key], name) if key in fields else None

        part("description", _text)
        condition = self._try(self._condition, fields.get("when", Node(_ALWAYS, line)), name)
        deny, instruct = part("deny", _text), part("instruct", _text)
        requirement = part("require", lambda node: _requirement(name, node))
        obligations = part("oblige", lambda node: tuple(_obligations(name, node))) or ()
        review = part("review", _review)
        examples = part("examples", lambda node: tuple(_examples(node, bool(obligations)))) or ()
        if condition is None:
            return None
        if condition.is_about_targets and any(fields.keys() & set(_EFFECTS[1:])):
            told = "a rule about 'target' can only deny: each target is judged by itself"
            self.problems.append(Problem(told, fields["when"].line, name))
        return Rule(
            name, line, condition, deny, requirement, review, instruct, obligations, examples
        )

    def _condition(self, node: Node) -> Condition:
        source = node.value
        if isinstance(source, bool):
            source = "true" if source else "false"
        if not isinstance(source, str):
            raise _Bad("'when' must be a condition in CEL, as text", node.line)
        try:
            return compiled(source.strip(), self._facts, checked=self._checked)
        except BadCondition as error:
            raise _Bad(f"the condition cannot be used: {error}", node.line) from error


def _mapping(node: Node, known: frozenset[str] | None, what: str) -> dict[str, Node]:
    if not isinstance(node.value, dict):
        raise _Bad(f"{what} must be a mapping", node.line)
    if known is not None:
        _known(node.value, known, what)
    return node.value


def _known(fields: Mapping[str, Node], known: frozenset[str], what: str) -> None:
    for name, each in fields.items():
        if name not in known:
            raise _Bad(f"{what} has an unknown field {name!r}; known: {sorted(known)}", each.line)


def _id(node: Node | None, rule: Node) -> str:
    if node is None:
        raise _Bad("a rule must have an id", rule.line)
    if not isinstance(node.value, str) or not _ID.fullmatch(node.value):
        raise _Bad("an id is 1 to 64 letters, digits, '.', '_' and '-'", node.line)
    return node.value


def _effective(fields: Mapping[str, Node], rule: Node) -> None:
    if not any(effect in fields for effect in _EFFECTS):
        raise _Bad(f"it has no effect: give one of {', '.join(_EFFECTS)}", rule.line)


def _text(node: Node) -> str:
    if not isinstance(node.value, str) or not 0 < len(node.value.strip()) <= _MAX_TEXT:
        raise _Bad(f"must be a text of at most {_MAX_TEXT} characters", node.line)
    return node.value.strip()


def _zone(node: Node) -> ZoneInfo:
    try:
        return ZoneInfo(_text(node))
    except (OSError, ValueError) as error:
        raise _Bad(f"{node.value!r} is no time zone, such as Europe/Berlin", node.line) from error


def _review(node: Node) -> Review:
    if node.value is True or node.value == "after":
        return "after"
    if node.value == "before":
        return "before"
    raise _Bad("'review' is 'after' (the answer is delivered) or 'before'", node.line)


def _requirement(rule: str, node: Node) -> Requirement:
    fields = _mapping(node, frozenset({"targets", "regions", "local"}), "'require'")
    if not fields:
        raise _Bad("'require' needs targets, regions or local", node.line)
    local = fields.get("local", Node(None, 0))
    if local.value is not None and not isinstance(local.value, bool):
        raise _Bad("'local' must be true or false", local.line)
    return Requirement(
        rule, _texts(fields.get("targets")), _texts(fields.get("regions")), local.value
    )


def _texts(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    values = node.value if isinstance(node.value, list) else [node]
    if not values or not all(isinstance(each.value, str) and each.value for each in values):
        raise _Bad("must be a text, or a list of texts", node.line)
    return tuple(each.value for each in values)


def _obligations(rule: str, node: Node) -> Iterator[Obligation]:
    for each in node.value if isinstance(node.value, list) else [node]:
        settings = {name: value.plain() for name, value in _mapping(each, None, "'oblige'").items()}
        try:
            kind_of(settings)
        except ValueError as error:
            raise _Bad(f"the obligation makes no sense: {error}", each.line) from error
        kind = str(settings.pop("kind"))
        yield Obligation(rule, kind, settings)


def _examples(node: Node, has_obligations: bool) -> Iterator[Example]:
    if not isinstance(node.value, list):
        raise _Bad("'examples' must be a list", node.line)
    for each in node.value:
        fields = _mapping(each, _EXAMPLE, "an example")
        answer = _text(fields["answer"]) if "answer" in fields else None
        if answer is not None and not has_obligations:
            raise _Bad("'answer' makes sense only with 'oblige'", fields["answer"].line)
        if "violates" in fields and answer is None:
            raise _Bad("'violates' needs an 'answer'", fields["violates"].line)
        given = _given(fields["given"]) if "given" in fields else {}
        applies, violates = _flag(fields, "applies", default=True), _flag(fields, "violates")
        yield Example(given, applies, answer, violates, each.line)


def _flag(fields: Mapping[str, Node], name: str, *, default: bool = False) -> bool:
    if name not in fields:
        return default
    if not isinstance(fields[name].value, bool):
        raise _Bad(f"{name!r} must be true or false", fields[name].line)
    return bool(fields[name].value)


def _given(node: Node) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, each in _mapping(node, frozenset(SAMPLE), "'given'").items():
        value: Any = each.plain()
        sample: Any = SAMPLE[name]
        names: frozenset[str] = frozenset(sample) if isinstance(sample, dict) else frozenset()
        if name == "time" and isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError as error:
                raise _Bad("'time' must be an ISO 8601 time", each.line) from error
        elif not isinstance(value, _like(sample)) or isinstance(value, bool):
            raise _Bad(f"{name!r} must be a {type(sample).__name__}", each.line)
        elif names and (odd := _others(value, names)):
            raise _Bad(f"{name!r} has no {odd}; known: {sorted(names)}", each.line)
        given[name] = value
    return given


def _others(value: Any, names: frozenset[str]) -> list[str]:
    return sorted(set(value) - names)


def _like(sample: Any) -> type | tuple[type, ...]:
    return (int, float) if isinstance(sample, float) else type(sample)
