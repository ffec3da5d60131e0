"""From a file's bytes to rules that may be used: read, compiled, tried on their own examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from router.policy.book import NO_RULES, Rules
from router.policy.conditions import BadCondition, context_of
from router.policy.document import PolicyInvalid, Problem
from router.policy.findings import findings
from router.policy.reading import Breach, violations
from router.policy.rules import Example, Rule, RulesFile, parse
from router.policy.situation import Situation, given_target

_PLAIN = ("caller", "tenant", "subject")


def load(source: bytes) -> Rules:
    """The rules of a file, ready for use. Blocks; for a thread.

    Raises ``PolicyInvalid`` with all that is wrong, examples that fail included.
    """
    file = parse(source)
    failed = [problem for rule in file.rules for problem in _tried(rule, file)]
    if failed:
        raise PolicyInvalid(failed)
    return Rules(version_of(source), file, findings(file.rules))


def accepted(source: bytes) -> Rules:
    """The rules of a file that ``load`` took before, here or in another process. Blocks.

    Raises ``PolicyInvalid``: that process was of another release.
    """
    return Rules(version_of(source), parse(source, checked=False))


def version_of(source: bytes) -> str:
    """What a rules file is called: the SHA-256 of its bytes, in hex."""
    return hashlib.sha256(source).hexdigest()


def situation_of(given: Mapping[str, Any]) -> Situation:
    """A request as an example or a question states it."""
    at = given.get("time")
    return Situation(
        **{name: str(given[name]) for name in _PLAIN if name in given},
        intents=(str(given.get("intent") or "none"),),
        confidence=float(given.get("confidence") or 0.0),
        entities=tuple(given.get("entities") or ()),
        collections=tuple(given.get("collections") or ()),
        facts=given.get("facts") or {},
        claims=given.get("claims") or {},
        at=at if isinstance(at, datetime) else None,
        request=given.get("request") or {},
    )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What rules say to a question."""

    effect: str
    rules: tuple[str, ...]
    obligations: list[dict[str, Any]]
    violations: list[dict[str, Any]]
    reason: str

    def shown(self) -> dict[str, Any]:
        """As the admin plane has it."""
        return {
            "effect": self.effect,
            "rules": list(self.rules),
            "obligations": self.obligations,
            "violations": self.violations,
            "reason": self.reason,
        }


def evaluate(
    rules: Rules,
    situation: Situation,
    answer: str | None = None,
    target: Mapping[str, Any] | None = None,
) -> Evaluation:
    """What the rules say about a request, and about an answer to it.

    ``target``: one that might answer, as the variable of that name: whether it may is said as well.
    """
    asked = rules.ask(situation)
    ruling = asked.ruling
    if target is not None and ruling.denied_by is None:
        struck = asked.struck_out(target)
        if struck is not None:
            names = tuple(sorted({*ruling.rules, struck[0]}))
            ruling = replace(ruling, rules=names, denied_by=struck[0], reason=struck[1])
    broken = _broken(violations(ruling.obligations, answer)) if answer is not None else []
    return Evaluation(
        ruling.effect,
        ruling.rules if ruling.failed is None else tuple(sorted({*ruling.rules, ruling.failed})),
        [each.shown() for each in ruling.obligations],
        broken,
        ruling.reason,
    )


def _broken(found: list[Breach]) -> list[dict[str, Any]]:
    told = dict.fromkeys((each.rule, each.detail) for each in found)
    return [{"rule": rule, "detail": detail} for rule, detail in told]


def _tried(rule: Rule, file: RulesFile) -> Iterator[Problem]:
    for example in rule.examples:
        why = _fails(rule, example, file)
        if why is not None:
            yield Problem(f"its example fails: {why}", example.line, rule.id)


def _fails(rule: Rule, example: Example, file: RulesFile) -> str | None:
    situation = situation_of(example.given)
    condition = rule.condition
    values = situation.values(
        situation.intents[0], condition.variables, condition.stated, file.timezone
    )
    if condition.is_about_targets:
        values["target"] = given_target(example.given.get("target") or {})
    try:
        applies = condition.holds(context_of(values))
    except BadCondition as error:
        return f"the condition cannot be evaluated: {error}"
    if applies is not example.applies:
        return "the rule applies" if applies else "the rule does not apply"
    if example.answer is None:
        return None
    broken = violations(rule.obligations, example.answer)
    if bool(broken) is not example.violates:
        return f"the answer violates it: {broken[0].detail}" if broken else "the answer keeps it"
    return None


__all__ = ["NO_RULES", "Evaluation", "accepted", "evaluate", "load", "situation_of", "version_of"]
