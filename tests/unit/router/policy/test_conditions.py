"""Conditions: checked when they are loaded, bounded, and the same for every way to look them up."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policy.conditions import MAX_CHARACTERS, BadCondition, compiled, context_of
from router.policy.conjuncts import atoms, conjuncts, impossible

GOOD = [
    'tenant == "eu"',
    'facts.tier != "gold"',
    "has(facts.amount) && facts.amount > 100",
    'entities.exists(e, e == "IBAN") && time.hour < 6',
    'target.kind == "frontier" && target.cost_usd > 0.01',
    'time.now > timestamp("2020-01-01T00:00:00Z")',
    '"has(facts.x)" == tenant',
    'tenant == "x" ? intent == "y" : true',
]
BAD = {
    "tenant < 3": "types do not fit",
    "tenant": "not true or false",
    "nope == 1": "unknown variables",
    "tenant.foo()": "foo",
    "facts.amount > 100": "ask has(facts.amount) first",
    'tenant == "a" && facts.x.y == 1': "types do not fit",
    'intent == "never" && tenant < 3': "types do not fit",
    '!(intent == "returns" || tenant < 3)': "types do not fit",
    'request.nope == "x"': "nope",
    "entities[0] == 'x'": "out of bounds",
    'facts["x"] == 1': "x",
    'tenant.matches("(")': "regex",
    "1 +": "parse",
    'tenant == "a" // && intent == "b"': "comments",
    'tenant == r"\\"': "raw",
    f'tenant == "{"x" * MAX_CHARACTERS}"': "longer than",
    "(" * 500 + "true" + ")" * 500: "nested deeper",
    "[1].all(a, [1].all(b, [1].all(c, true)))": "loops",
    f"[{','.join(['1'] * 450)}].all(a, [{','.join(['1'] * 450)}].all(b, a == b))": "ms",
}


@pytest.mark.parametrize("source", GOOD)
def test_what_makes_sense_compiles(source: str) -> None:
    """And says which variables it reads."""
    assert compiled(source).variables


@pytest.mark.parametrize(("source", "why"), BAD.items(), ids=range(len(BAD)))
def test_what_would_fail_at_a_request_fails_when_it_is_loaded(source: str, why: str) -> None:
    """At once, and it says why."""
    began = time.thread_time()
    with pytest.raises(BadCondition, match=why.replace("(", r"\(").replace(")", r"\)")):
        compiled(source)
    assert time.thread_time() - began < 2


def test_a_declared_type_is_held_to() -> None:
    """A number has no beginning."""
    compiled('has(facts.n) && facts.n.startsWith("a")', {"n": "string"})
    with pytest.raises(BadCondition):
        compiled('has(facts.n) && facts.n.startsWith("a")', {"n": "number"})


def test_has_asks_whether_a_fact_was_stated() -> None:
    """Null is not."""
    condition = compiled("has(facts.n)")
    assert condition.holds(context_of({"facts": {"n": 1}}))
    assert not condition.holds(context_of({"facts": {"n": None}}))


NAMES = st.sampled_from(["tenant", "intent", "caller"])
VALUES = st.sampled_from(["a", "b", "c"])
ATOM = st.one_of(
    st.builds(lambda n, o, v: f'{n} {o} "{v}"', NAMES, st.sampled_from(["==", "!="]), VALUES),
    st.builds(
        lambda n, vs: f"{n} in [{', '.join(repr(v) for v in vs)}]",
        NAMES,
        st.lists(VALUES, min_size=1, max_size=3),
    ),
)
CONDITION = st.recursive(
    ATOM,
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"{a} && {b}", inner, inner),
        st.builds(lambda a, b: f"({a} || {b})", inner, inner),
        st.builds(lambda a: f"!({a})", inner),
        st.builds(lambda a: f"({a})", inner),
    ),
    max_leaves=6,
)


@given(CONDITION, VALUES, VALUES, VALUES)
def test_no_part_of_a_condition_that_holds_says_otherwise(
    source: str, tenant: str, intent: str, caller: str
) -> None:
    """What the index and the search for contradictions go by is true of every request."""
    values = {"tenant": tenant, "intent": intent, "caller": caller}
    condition = compiled(source)
    parts = list(conjuncts(source))
    holds = condition.holds(context_of(values))
    assert holds == all(compiled(part).holds(context_of(values)) for part in parts)
    if holds:
        found = list(atoms(parts))
        assert not impossible(found)
        for atom in found:
            if atom.only is not None:
                assert values[atom.path] in atom.only
