"""Rules together: order does not matter, denials outweigh, shadows change nothing, errors deny."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.policy.book import Rules
from router.policy.conditions import context_of
from router.policy.differences import Differences
from router.policy.document import PolicyInvalid
from router.policy.load import accepted, evaluate, load, situation_of
from router.policy.situation import Situation

CONDITIONS = [
    "true",
    'tenant == "a"',
    'tenant in ["a", "b"]',
    'intent == "x" && tenant != "c"',
    'intent == "x" || tenant == "b"',
    'facts.tier == "gold"',
    "has(facts.total) && facts.total > 10",
    '"IBAN" in entities',
    'caller == "k" && intent == "y"',
]
EFFECTS: list[dict[str, Any]] = [
    {"deny": "no"},
    {"require": {"local": True}},
    {"require": {"regions": ["eu"]}},
    {"review": "after"},
    {"review": "before"},
    {"instruct": "Be kind."},
    {"oblige": {"kind": "max_discount", "percent": 20}},
]
RULES = st.lists(st.tuples(st.sampled_from(CONDITIONS), st.sampled_from(EFFECTS)), max_size=12).map(
    lambda found: [{"id": f"r{n}", "when": w, **e} for n, (w, e) in enumerate(found)]
)
SITUATIONS = st.builds(
    Situation,
    caller=st.sampled_from(["k", "l"]),
    tenant=st.sampled_from(["a", "b", "c"]),
    intents=st.lists(st.sampled_from(["x", "y", "none"]), min_size=1, max_size=2).map(tuple),
    entities=st.sampled_from([(), ("IBAN",), ("EMAIL", "IBAN")]),
    facts=st.sampled_from([{}, {"tier": "gold"}, {"total": 5}, {"total": 50, "tier": "silver"}]),
)


@dataclass(frozen=True)
class Target:
    """One that might answer."""

    target: str
    regions: tuple[str, ...] = ()
    is_local: bool = False


BASE = Target("base", ("eu",), is_local=True)
FRONTIER = Target("frontier:cloud/big", ("us",))
NOWHERE = Target("frontier:cloud/small")


def book(rules: Sequence[dict[str, Any]], **more: Any) -> Rules:
    """Rules as they are put."""
    return load(orjson.dumps({"rules": list(rules), **more}))


@given(RULES, SITUATIONS, st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(
    rules: list[dict[str, Any]], asked: Situation, shuffle: random.Random
) -> None:
    """What they say is the same, whoever wrote which first."""
    other = list(rules)
    shuffle.shuffle(other)
    one, two = book(rules).ask(asked).ruling, book(other).ask(asked).ruling
    assert replace(one, version="") == replace(two, version="")


@given(RULES, SITUATIONS)
def test_what_is_found_by_the_index_is_what_applies(
    rules: list[dict[str, Any]], asked: Situation
) -> None:
    """Every rule whose condition holds for one of the intents, and no other."""
    found = book(rules)
    applying = set()
    for rule in found.file.rules:
        condition = rule.condition
        for intent in asked.intents:
            values = asked.values(
                intent, condition.variables, condition.stated, found.file.timezone
            )
            if condition.holds(context_of(values)):
                applying.add(rule.id)
    ruling = found.ask(asked).ruling
    assert set(ruling.rules) == applying
    denies = any(rule["id"] in applying and "deny" in rule for rule in rules)
    assert (ruling.effect == "deny") is denies


@given(RULES, SITUATIONS)
def test_a_stated_intent_never_widens_what_the_recognised_one_permits(
    rules: list[dict[str, Any]], asked: Situation
) -> None:
    """Of both, what is forbidden for either is forbidden, and what either obliges to is obliged."""
    found = book(rules)
    both = replace(asked, intents=("y", "x"))
    for intent in both.intents:
        alone, together = found.ask(replace(asked, intents=(intent,))), found.ask(both)
        obliged = together.ruling.obligations
        assert all(each in obliged for each in alone.ruling.obligations)
        for target in (BASE, FRONTIER, NOWHERE):
            if alone.why_not(target) is not None:
                assert together.why_not(target) is not None


@given(RULES, RULES, SITUATIONS)
def test_rules_in_the_shadow_change_nothing(
    rules: list[dict[str, Any]], shadow: list[dict[str, Any]], asked: Situation
) -> None:
    """What holds says the same before and after; the difference is counted when there is one."""
    active, tried = book(rules), book(shadow, description="in the shadow")
    before = active.ask(asked).ruling
    told = Differences()
    kind = told.compare("dec-1", before, tried.ask(asked).ruling)
    assert active.ask(asked).ruling == before
    assert told.shown()["compared"] == 1
    assert bool(told.shown()["differing"]) is (kind is not None)
    assert Differences().compare("dec-1", before, before) is None


@settings(max_examples=25)
@given(RULES, SITUATIONS)
def test_a_router_takes_over_what_the_registry_checked(
    rules: list[dict[str, Any]], asked: Situation
) -> None:
    """Without trying it again, and to the same effect."""
    source = orjson.dumps({"rules": rules})
    assert accepted(source).ask(asked).ruling == load(source).ask(asked).ruling


def test_a_rule_that_cannot_be_evaluated_denies_and_is_named() -> None:
    """A fact of another type than was declared must not open a door (fail closed)."""
    rules = [{"id": "total", "when": "has(facts.n) && facts.n > 3", "review": "after"}]
    ruling = book(rules, facts={"n": "number"}).ask(Situation(facts={"n": "many"})).ruling
    assert ruling.effect == "deny"
    assert ruling.failed == ruling.denied_by == "total"
    assert "'total'" in ruling.reason


def test_of_a_thousand_rules_about_tenants_one_is_looked_at() -> None:
    """The index is what keeps many rules cheap: benchmarks/governance/policy.py measures it."""
    rules = [{"id": f"r{n}", "when": f'tenant == "t{n}"', "deny": "no"} for n in range(1000)]
    found = book([*rules, {"id": "all", "review": "after"}])
    asked = Situation(tenant="t7")
    looked_at = [rule.id for _, rule in found._candidates({"tenant": "t7", "intent": "none"})]
    assert sorted(looked_at) == ["all", "r7"]
    assert found.ask(asked).ruling.rules == ("all", "r7")


def test_requirements_add_up() -> None:
    """A target has to fit all; one that does not say where it is does not fit a region."""
    asked = book(
        [{"id": "a", "require": {"regions": ["eu"]}}, {"id": "b", "require": {"local": True}}]
    ).ask(Situation())
    assert asked.why_not(BASE) is None
    assert "'a'" in str(asked.why_not(FRONTIER))
    assert asked.why_not(NOWHERE) is not None
    assert asked.why_not(Target("frontier:cloud/eu", ("eu",))) is not None


def test_a_rule_about_targets_strikes_out_those_it_is_about() -> None:
    """By kind, provider, region and expected cost; its id is among those that applied."""
    asked = book(
        [{"id": "dear", "when": "target.cost_usd > 0.5 && !target.local", "deny": "too dear"}]
    ).ask(Situation())
    assert list(asked.applied) == []
    assert asked.why_not(FRONTIER, 0.1) is None
    assert asked.why_not(FRONTIER, 0.9) == "rule 'dear' denies it: too dear"
    assert asked.why_not(BASE, 0.9) is None
    assert list(asked.applied) == ["dear"]


def test_time_is_that_of_the_files_zone() -> None:
    """Half past eleven at night in Berlin is half past ten in UTC."""
    rules = book(
        [{"id": "night", "when": "time.hour >= 23", "deny": "late"}], timezone="Europe/Berlin"
    )
    at = situation_of({})
    late = replace(at, at=datetime.fromisoformat("2026-01-05T22:30:00+00:00"))
    assert rules.ask(late).ruling.denied_by == "night"
    early = replace(at, at=datetime.fromisoformat("2026-01-05T21:30:00+00:00"))
    assert rules.ask(early).ruling.denied_by is None


def test_a_question_may_name_a_target() -> None:
    """Then rules about targets are asked as well."""
    rules = book([{"id": "f", "when": 'target.kind == "frontier"', "deny": "stay"}])
    assert evaluate(rules, Situation()).effect == "allow"
    told = evaluate(rules, Situation(), target={"kind": "frontier"})
    assert (told.effect, told.rules, told.reason) == ("deny", ("f",), "stay")


@pytest.mark.parametrize(
    ("rules", "rule", "told"),
    [
        ('[{id: a, when: tenant == "x" && tenant == "y", deny: n}]', "a", "contradicts"),
        ("[{id: a, when: 'false', deny: n}]", "a", "always false"),
        ("[{id: a, when: time.hour > 5 && time.hour < 3, deny: n}]", "a", "contradicts"),
        (
            '[{id: a, when: tenant == "x", deny: n}, '
            '{id: b, when: tenant == "x" && intent == "y", review: after}]',
            "b",
            "'a' denies",
        ),
        (
            '[{id: a, require: {targets: ["frontier:*"]}}, {id: b, require: {local: true}}]',
            "b",
            "no target fits both",
        ),
        (
            "[{id: a, require: {regions: [eu]}}, {id: b, require: {regions: [us]}}]",
            "b",
            "no target fits both",
        ),
        (
            "[{id: a, oblige: {kind: max_discount, percent: 10}}, "
            "{id: b, oblige: {kind: max_discount, percent: 20}}]",
            "b",
            "smaller max_discount",
        ),
    ],
)
def test_rules_that_never_apply_or_cannot_be_kept_are_named(
    rules: str, rule: str, told: str
) -> None:
    """As warnings: the file is taken."""
    found = load(f"rules: {rules}".encode()).warnings
    assert [each.rule for each in found] == [rule]
    assert told in found[0].message


@pytest.mark.parametrize(
    "rules",
    [
        '[{id: a, when: tenant == "x", require: {local: true}}, '
        '{id: b, when: tenant == "y", require: {local: false}}]',
        '[{id: a, when: tenant == "x", deny: n}, {id: b, when: tenant == "y", deny: n}]',
        "[{id: a, require: {regions: ['eu-*']}}, {id: b, require: {regions: [eu-west]}}]",
    ],
)
def test_rules_that_get_along_are_not_warned_of(rules: str) -> None:
    """They cannot meet, or fit together."""
    assert load(f"rules: {rules}".encode()).warnings == ()


def test_doubtful_rules_are_found_among_many() -> None:
    """Wherever they stand: nobody has to compare all with all."""
    many = [f"{{id: a{n}, when: tenant == 't{n}', deny: no}}" for n in range(1000)]
    many += [f"{{id: b{n}, when: intent == 'i{n}', require: {{local: true}}}}" for n in range(1000)]
    many += [
        "{id: shaded, when: tenant == 't997' && intent == 'x', deny: no}",
        "{id: torn, when: intent == 'i998', require: {local: false}}",
    ]
    warnings = load(f"rules: [{', '.join(many)}]".encode()).warnings
    assert [(each.rule, each.message.partition("'")[2].partition("'")[0]) for each in warnings] == [
        ("shaded", "a997"),
        ("torn", "b998"),
    ]


def test_every_error_is_told_at_once_with_its_line() -> None:
    """Not only the first."""
    source = b"""rules:
  - id: a
    when: tenant < 3
    deny: x
  - id: b
    nope: 1
  - id: c
    oblige: {kind: max_discount}
  - deny: y
"""
    with pytest.raises(PolicyInvalid) as refused:
        load(source)
    assert [(each.rule, each.line) for each in refused.value.problems] == [
        ("a", 3),
        ("b", 6),
        ("c", 8),
        (None, 9),
    ]
