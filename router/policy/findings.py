"""What is doubtful about rules that are each correct: some never apply, some cannot all be kept.

Only what is certain from the conditions' text is said; a rule of which nothing is said may still
never apply.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice, product
from typing import Final

from router.policy.conditions import BadCondition, context_of
from router.policy.conjuncts import exclude_each_other, impossible
from router.policy.document import Problem
from router.policy.rules import Rule
from router.ruling import Obligation, Requirement

MAX_WARNINGS: Final = 200
_MAX_PAIRS: Final = 200_000
_CAPS: Final = {"max_discount": "percent", "max_percent": "percent", "max_duration": "days"}


def findings(rules: Sequence[Rule]) -> list[Problem]:
    """At most ``MAX_WARNINGS``, by line."""
    found: list[Problem] = []
    for problem in _all(rules):
        found.append(problem)
        if len(found) >= MAX_WARNINGS:
            break
    return sorted(found, key=lambda each: each.line)


def _all(rules: Sequence[Rule]) -> Iterator[Problem]:
    dead: set[str] = set()
    for rule in rules:
        why = _never(rule)
        if why is not None:
            dead.add(rule.id)
            yield Problem(f"unreachable: {why}", rule.line, rule.id)
    alive = [rule for rule in rules if rule.id not in dead]
    yield from _outweighed(alive)
    yield from _conflicts(alive)


def _never(rule: Rule) -> str | None:
    condition = rule.condition
    if not condition.variables:
        try:
            if not condition.holds(context_of({})):
                return "its condition is always false"
        except BadCondition:
            return None
    if impossible(condition.atoms):
        return "its condition contradicts itself"
    return None


def _outweighed(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Rules that apply only where another one denies anyway."""
    parts = {rule.id: frozenset(_parts(rule)) for rule in rules}
    by_part = _by_rarest_part(
        [r for r in rules if r.deny is not None and not r.condition.is_about_targets], parts
    )
    left = _MAX_PAIRS
    for rule in rules:
        mine = parts[rule.id]
        for other in (each for part in ("", *sorted(mine)) for each in by_part.get(part, ())):
            left -= 1
            stronger = parts[other.id] < mine or (
                parts[other.id] == mine and (rule.deny is None or other.id < rule.id)
            )
            if other.id != rule.id and stronger:
                told = f"unreachable: wherever it applies, {other.id!r} denies the request"
                yield Problem(told, rule.line, rule.id)
                break
            if left <= 0:
                return


def _by_rarest_part(
    rules: Sequence[Rule], parts: Mapping[str, frozenset[str]]
) -> dict[str, list[Rule]]:
    """Each rule under the part of its condition that fewest have, "" where it always applies.

    Whatever it outweighs has that part, so that nobody compares all with all.
    """
    counts = Counter(part for rule in rules for part in parts[rule.id])
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        key = min(parts[rule.id], key=lambda part: (counts[part], part), default="")
        found.setdefault(key, []).append(rule)
    return found


def _parts(rule: Rule) -> Iterator[str]:
    """What must hold, each part in one spelling; nothing for what always does."""
    for part in rule.condition.conjuncts:
        text = " ".join(part.split())
        if text != "true":
            yield text


def _conflicts(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Rules that can apply together and cannot be kept together."""
    by_requirement: dict[Requirement, list[Rule]] = {}
    for rule in rules:
        if rule.requirement is not None:
            asked = replace(rule.requirement, rule="")
            by_requirement.setdefault(asked, []).append(rule)
    apart = (
        pair
        for one, two in islice(combinations(by_requirement, 2), _MAX_PAIRS)
        if _apart(one, two)
        for pair in product(by_requirement[one], by_requirement[two])
    )
    for pair in islice(apart, _MAX_PAIRS):
        one, two = sorted(pair, key=lambda rule: rule.line)
        if _may_meet(one, two):
            told = f"conflicts with {one.id!r}: no target fits both"
            yield Problem(told, two.line, two.id)
    capping = [(rule, each) for rule in rules for each in rule.obligations if each.kind in _CAPS]
    by_cap: dict[tuple[str, str], list[tuple[Rule, Obligation]]] = {}
    for rule, each in capping:
        by_cap.setdefault((each.kind, " ".join(sorted(_parts(rule)))), []).append((rule, each))
    for (kind, _), same in by_cap.items():
        values = {each.settings[_CAPS[kind]] for _, each in same}
        if len(values) > 1 and len({rule.id for rule, _ in same}) > 1:
            rule = max(same, key=lambda each: each[1].settings[_CAPS[kind]])[0]
            told = (
                f"conflicts: another rule with its condition has a smaller {kind}; that one holds"
            )
            yield Problem(told, rule.line, rule.id)


def _may_meet(one: Rule, two: Rule) -> bool:
    return not exclude_each_other(one.condition.atoms, two.condition.atoms)


def _apart(one: Requirement, two: Requirement) -> bool:
    if one.local is not None and two.local is not None and one.local is not two.local:
        return True
    for first, second in ((one, two), (two, one)):
        if first.local is not None and second.targets:
            kinds = {_is_local(glob) for glob in second.targets}
            if kinds == {not first.local}:
                return True
    return _never_meet(one.targets, two.targets) or _never_meet(one.regions, two.regions)


def _is_local(glob: str) -> bool | None:
    if glob.startswith("frontier:"):
        return False
    return True if glob == "base" or glob.startswith("adapter:") else None


def _never_meet(one: Sequence[str], two: Sequence[str]) -> bool:
    """Globs that have no name in common; of two patterns with stars that is not said."""
    if not one or not two:
        return False
    return not any(_meet(a, b) for a in one for b in two)


def _meet(one: str, two: str) -> bool:
    if fnmatch.fnmatchcase(one, two) or fnmatch.fnmatchcase(two, one):
        return True
    stars = [any(mark in each for mark in "*?[") for each in (one, two)]
    return all(stars) and _begin_alike(one, two)


def _begin_alike(one: str, two: str) -> bool:
    first, second = (
        each.partition("*")[0].partition("?")[0].partition("[")[0] for each in (one, two)
    )
    return first.startswith(second) or second.startswith(first)
