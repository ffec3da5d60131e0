"""One version of the rules, compiled: what it says about a request, by looking at few of them.

A rule whose condition demands one of a few fixed values of a variable, such as
``tenant == "acme" && …``, is looked at only where the variable has one of them. What the rules say
does not depend on their order: everything that applies counts, and a denial outweighs the rest.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from router.policy.conditions import BadCondition, context_of
from router.policy.document import Problem
from router.policy.rules import Rule, RulesFile
from router.policy.situation import Governed, Situation, target_values
from router.ruling import NO_RULING, Requirement, Ruling

_INDEXED: Final = ("intent", "tenant", "caller", "request.model", "request.endpoint")
_FAILED: Final = "The rule {!r} could not be evaluated, so the request is refused."


_Compiled = tuple[Callable[[Any], Any], Rule]


class Rules:
    """What a rules file says; never changed. A request asks one object from first to last.

    Attributes:
        version: SHA-256 of the file, in hex; empty where there is no file.
        file: what is in it.
        warnings: what is doubtful about it.
        reads: the variables that some rule reads.
        silent: what it says of a request to which no rule applies.
    """

    def __init__(self, version: str, file: RulesFile, warnings: Iterable[Problem] = ()) -> None:
        self.version = version
        self.silent = replace(NO_RULING, version=version)
        self.file = file
        self.warnings = tuple(warnings)
        conditions = [rule.condition for rule in file.rules]
        self.reads: frozenset[str] = frozenset().union(*(each.variables for each in conditions))
        self._stated = frozenset[str]().union(*(each.stated for each in conditions))
        self._about_targets: list[Rule] = []
        self._always: list[_Compiled] = []
        self._index: dict[str, dict[Any, list[_Compiled]]] = {}
        for rule in sorted(file.rules, key=lambda each: each.id):
            self._enter(rule)

    def _enter(self, rule: Rule) -> None:
        if rule.condition.is_about_targets:
            self._about_targets.append(rule)
            return
        compiled = (rule.condition.program.execute, rule)
        path, values = _entry(rule)
        for value in values:
            self._index.setdefault(path, {}).setdefault(value, []).append(compiled)
        if not values:
            self._always.append(compiled)

    def ask(self, situation: Situation) -> Asked:
        """What the rules say about a request, for each of its intents. Never raises."""
        if not self.file.rules:
            return Asked(self.silent)
        asked: list[tuple[Ruling, dict[str, Any]]] = []
        for intent in dict.fromkeys(situation.intents):
            values = situation.values(intent, self.reads, self._stated, self.file.timezone)
            asked.append((self._ruling(values), values))
        ruling = _merged(self.version, [each for each, _ in asked])
        return Asked(ruling, self._about_targets, tuple(values for _, values in asked))

    def _ruling(self, values: Mapping[str, Any]) -> Ruling:
        context = context_of(values)
        found: list[Rule] = []
        failed: Rule | None = None
        for execute, rule in self._candidates(values):
            # As ``Condition.holds`` does it; it is done a thousand times for one request.
            try:
                holds = execute(context)
            except Exception:  # noqa: BLE001 - the library raises many kinds
                holds = None
            if holds is True:
                found.append(rule)
            elif holds is not False and (failed is None or rule.id < failed.id):
                failed = rule
        return _ruled(self.version, found, failed)

    def _candidates(self, values: Mapping[str, Any]) -> Iterator[_Compiled]:
        yield from self._always
        for path, found in self._index.items():
            head, _, rest = path.partition(".")
            value = values[head][rest] if rest else values[head]
            yield from found.get(value, ())


class Asked:
    """What the rules said about one request, and say about each target that may answer it."""

    __slots__ = ("_about_targets", "_applied", "_known", "_values", "ruling")

    def __init__(
        self,
        ruling: Ruling,
        about_targets: Sequence[Rule] = (),
        values: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.ruling = ruling
        self._about_targets = about_targets
        self._values = values
        self._known: dict[tuple[str, float | None], str | None] = {}
        self._applied: set[str] = set()

    @property
    def applied(self) -> tuple[str, ...]:
        """Ids of all rules that applied, also those that struck a target out."""
        return tuple(sorted({*self.ruling.rules, *self._applied}))

    def why_not(self, card: Governed, cost_usd: float | None = None) -> str | None:
        """Why a target may not answer; None: it may."""
        ruling = self.ruling
        if ruling.denied_by is not None:
            return f"rule {ruling.denied_by!r} denies it: {ruling.reason}"
        for requirement in ruling.requirements:
            missing = _missing(requirement, card)
            if missing is not None:
                return f"rule {requirement.rule!r} requires {missing}"
        if not self._about_targets:
            return None
        key = (card.target, cost_usd)
        if key not in self._known:
            self._known[key] = self._judge(card, cost_usd)
        return self._known[key]

    def _judge(self, card: Governed, cost_usd: float | None) -> str | None:
        struck = self.struck_out(target_values(card, cost_usd))
        return None if struck is None else f"rule {struck[0]!r} denies it: {struck[1]}"

    def struck_out(self, target: Mapping[str, Any]) -> tuple[str, str] | None:
        """The first rule about targets, by its id, that denies this one, and why."""
        denials: list[tuple[str, str]] = []
        for values in self._values:
            context = context_of({**values, "target": target})
            for rule in self._about_targets:
                try:
                    holds, told = rule.condition.holds(context), rule.deny or ""
                except BadCondition:
                    holds, told = True, _FAILED.format(rule.id)
                if holds:
                    denials.append((rule.id, told))
        self._applied.update(rule for rule, _ in denials)
        return min(denials, default=None)


def _entry(rule: Rule) -> tuple[str, tuple[Any, ...]]:
    """Under which values of which variable a rule is found; nothing where none is certain."""
    for atom in rule.condition.atoms:
        fixed = atom.only if atom.path in _INDEXED else None
        if fixed is not None and all(isinstance(value, str) for value in fixed):
            return atom.path, tuple(dict.fromkeys(fixed))
    return "", ()


def _ruled(version: str, found: Iterable[Rule], failed: Rule | None) -> Ruling:
    applied = sorted(found, key=lambda each: each.id)
    denying = next((rule for rule in applied if rule.deny is not None), None)
    denied_by, reason = (denying.id, denying.deny or "") if denying is not None else (None, "")
    if failed is not None and denying is None:
        denied_by, reason = failed.id, _FAILED.format(failed.id)
    reviewing = [rule for rule in applied if rule.review is not None]
    before = any(rule.review == "before" for rule in reviewing)
    return Ruling(
        version=version,
        rules=tuple(rule.id for rule in applied),
        denied_by=denied_by,
        reason=reason,
        requirements=tuple(rule.requirement for rule in applied if rule.requirement is not None),
        review=("before" if before else "after") if reviewing else None,
        reviewed_for=tuple(rule.id for rule in reviewing),
        instructions=tuple((rule.id, rule.instruct) for rule in applied if rule.instruct),
        obligations=tuple(each for rule in applied for each in rule.obligations),
        failed=None if failed is None else failed.id,
    )


def _merged(version: str, rulings: Sequence[Ruling]) -> Ruling:
    """What holds for every intent of a request, together: none widens what another permits."""
    first = rulings[0]
    if len(rulings) == 1:
        return first
    denials = sorted((each.denied_by, each.reason) for each in rulings if each.denied_by)
    denied_by, reason = denials[0] if denials else (None, "")
    reviews = {each.review for each in rulings}
    return Ruling(
        version=version,
        rules=tuple(sorted({rule for each in rulings for rule in each.rules})),
        denied_by=denied_by,
        reason=reason,
        requirements=_all(each.requirements for each in rulings),
        review="before" if "before" in reviews else "after" if "after" in reviews else None,
        reviewed_for=tuple(sorted({rule for each in rulings for rule in each.reviewed_for})),
        instructions=_all(each.instructions for each in rulings),
        obligations=_all(each.obligations for each in rulings),
        failed=next((each.failed for each in rulings if each.failed is not None), None),
    )


def _all(parts: Iterable[Sequence[Any]]) -> tuple[Any, ...]:
    found: list[Any] = []
    for part in parts:
        found += [each for each in part if each not in found]
    return tuple(found)


def _missing(requirement: Requirement, card: Governed) -> str | None:
    """What of a requirement a target does not have."""
    if requirement.local is not None and card.is_local is not requirement.local:
        return "a local target" if requirement.local else "a frontier"
    if requirement.targets and not _matches(requirement.targets, card.target):
        return "one of " + ", ".join(requirement.targets)
    if requirement.regions:
        inside = [_matches(requirement.regions, region) for region in card.regions]
        if not inside or not all(inside):
            return "the region " + " or ".join(requirement.regions)
    return None


def _matches(globs: Sequence[str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, each) for each in globs)


NO_RULES: Final = Rules("", RulesFile())
