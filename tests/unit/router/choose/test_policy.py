"""Policy as data: deny wins, nothing is routed around, and every reason names its rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.audit.decision import record_of
from router.choose.cards import Card
from router.config.policy import PolicyConfig
from router.exchange import Exchange
from router.policy.permission import PolicyBook
from router.request import Caller, Intent
from tests.fakes.deciding import (
    BIG,
    SMALL,
    allowed,
    chooser,
    decide,
    error,
    model,
    refused,
    returns,
    world,
)
from tests.fakes.exchanges import LIVE, exchange, put

HERE = world(returns())
OFFERED = {"frontiers": ["*"]}


def rule(effect: str = "deny", **fields: Any) -> dict[str, Any]:
    """One rule."""
    return {"name": "r", "effect": effect, **fields}


def policy(*rules: dict[str, Any], default: str = "allow") -> dict[str, Any]:
    """A policy of these rules."""
    named = [{**each, "name": f"{each['name']}{n}"} for n, each in enumerate(rules)]
    return {"default": default, "rules": named}


def asked(model_name: str = "auto", *, tenant: str = "default", key: str = "anybody") -> Exchange:
    """A request of a caller."""
    return exchange(model_name, table=HERE, caller=Caller(key, tenant, frozenset()))


def test_everything_is_allowed_without_rules() -> None:
    """Who configures nothing forbids nothing."""
    assert allowed(asked(), chooser(routing=OFFERED)) == [
        "base", f"frontier:{SMALL}", f"frontier:{BIG}"
    ]  # fmt: skip


def test_a_denied_target_is_struck_out_with_its_rule() -> None:
    """`auto` goes on with what is left; the reason names the rule."""
    by = chooser(routing=OFFERED, policy=policy(rule(targets=["frontier:*/small"])))
    options = decide(asked(), by)
    found = next(option for option in options if option.target == f"frontier:{SMALL}")
    assert not found.allowed
    assert found.code == "policy_denied"
    assert "'r0'" in found.reason
    assert [o.target for o in options if o.allowed] == ["base", f"frontier:{BIG}"]


@pytest.mark.parametrize("name", [BIG, "returns", "base", f"returns@{LIVE[:12]}"])
def test_a_named_model_that_is_denied_is_refused(name: str) -> None:
    """Nothing answers in place of what policy forbids: no base, no other version, no frontier."""
    targets = [f"frontier:{BIG}", "adapter:*"] if name != "base" else ["base"]
    by = chooser(auto={"frontier": SMALL}, policy=policy(rule(targets=targets)))
    found = error(asked(name), by)
    assert (found.status, found.code) == (403, "policy_denied")


def test_fallbacks_obey_policy() -> None:
    """What may answer in place of a cold adapter is only what policy permits (law 5)."""
    by = chooser(auto={"frontier": BIG}, policy=policy(rule(targets=["frontier:*"])))
    cold = exchange("returns", table=world(returns(), cold=[f"returns@{LIVE[:12]}"]))
    assert f"frontier:{BIG}" not in allowed(cold, by)
    assert refused(cold, by)[f"frontier:{BIG}"] == "policy_denied"


def test_deny_wins_over_allow() -> None:
    """The order of rules does not matter."""
    rules = (rule("allow", targets=["base"]), rule(targets=["base"]))
    for ordered in (rules, rules[::-1]):
        assert allowed(asked(), chooser(policy=policy(*ordered))) == []


def test_default_deny() -> None:
    """With `default: deny` only what a rule allows may answer."""
    by = chooser(routing=OFFERED, policy=policy(rule("allow", targets=["base"]), default="deny"))
    assert allowed(asked(), by) == ["base"]


@pytest.mark.parametrize(
    ("condition", "concerned", "other"),
    [
        ({"tenants": ["acme-*"]}, {"tenant": "acme-eu"}, {"tenant": "default"}),
        ({"keys": ["batch"]}, {"key": "batch"}, {"key": "web"}),
    ],
)
def test_conditions_on_the_caller(
    condition: dict[str, Any], concerned: dict[str, str], other: dict[str, str]
) -> None:
    """A rule applies to the tenants and keys that it names."""
    by = chooser(policy=policy(rule(targets=["base"], **condition)))
    assert allowed(asked(**concerned), by) == []
    assert allowed(asked(**other), by) == ["base"]


def test_conditions_on_the_intent() -> None:
    """A rule applies to the intents that it names; `none` is what was not recognised."""
    by = chooser(policy=policy(rule(targets=["base"], intents=["medical", "none"])))
    for name, expected in (("medical", []), (None, []), ("weather", ["base"])):
        found = put(asked(), intent=Intent(name, 0.9))
        assert allowed(found, by) == expected


REGIONS = [
    model("eu", regions=["eu"]),
    model("us", regions=["us"]),
    model("both", regions=["eu", "us"]),
    model("silent"),
]


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (policy(rule(outside_regions=["eu"], targets=["frontier:*"])), {"eu"}),
        (policy(rule(regions=["us"], targets=["frontier:*"])), {"eu"}),
        (policy(rule("allow", regions=["eu"]), default="deny"), {"eu"}),
        (policy(rule("allow", regions=["eu", "us"]), default="deny"), {"eu", "us", "both"}),
        (policy(rule("allow", outside_regions=["eu"]), default="deny"), {"us"}),
    ],
)
def test_regions(rules: dict[str, Any], left: set[str]) -> None:
    """A target that does not say where it processes data is treated as if it might be anywhere."""
    by = chooser(REGIONS, routing=OFFERED, policy=rules)
    found = {target for target in allowed(asked(), by) if target != "base"}
    assert found == {f"frontier:cloud/{name}" for name in left}


def test_a_card_names_its_tenants() -> None:
    """A model that is bought for one tenant answers no other, named or not."""
    by = chooser([model("big", tenants=["acme*"])], routing=OFFERED)
    assert allowed(asked(tenant="acme"), by) == ["base", f"frontier:{BIG}"]
    assert refused(asked(), by) == {f"frontier:{BIG}": "tenant_not_allowed"}
    assert error(asked(BIG), by).status == 403


def test_the_version_changes_with_the_content() -> None:
    """Equal policies have one version; any change gives another. It is in every decision."""
    one = PolicyConfig.model_validate(policy(rule(targets=["base"])))
    same = PolicyConfig.model_validate(policy(rule(targets=["base"])))
    other = PolicyConfig.model_validate(policy(rule(targets=["bas?"])))
    assert one.version == same.version != other.version
    found = asked()
    decide(found, chooser())
    assert record_of(found)["decided"]["policy_version"] == PolicyConfig().version


def test_names_of_rules_are_distinct() -> None:
    """A reason leads to one rule."""
    with pytest.raises(ValueError, match="distinct names"):
        PolicyConfig.model_validate({"rules": [rule(), rule()]})


TARGETS = st.sampled_from(["base", "adapter:returns@1", "frontier:cloud/big", "frontier:x/y"])
PATTERNS = st.lists(
    st.sampled_from(["*", "base", "frontier:*", "frontier:cloud/*", "adapter:*"]),
    min_size=1,
    max_size=3,
)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.uuids().map(str),
            "effect": st.sampled_from(["allow", "deny"]),
            "targets": PATTERNS,
            "tenants": st.sampled_from([["*"], ["a"], ["b"]]),
        }
    ),
    max_size=5,
    unique_by=lambda each: each["name"],
)


@given(RULES, st.sampled_from(["allow", "deny"]), TARGETS, st.sampled_from("ab"))
def test_against_the_definition(
    rules: list[dict[str, Any]], default: str, target: str, tenant: str
) -> None:
    """A target is permitted when no deny rule applies and an allow rule or the default says so."""
    from fnmatch import fnmatchcase

    book = PolicyBook(PolicyConfig.model_validate({"default": default, "rules": rules}))
    effects = [
        each["effect"]
        for each in rules
        if any(fnmatchcase(target, glob) for glob in each["targets"])
        and any(fnmatchcase(tenant, glob) for glob in each["tenants"])
    ]
    expected = "deny" not in effects and ("allow" in effects or default == "allow")
    permission = book.permission(Caller("k", tenant, frozenset()), None)
    for _ in range(2):  # the second time from memory
        assert (permission.why_not(Card(target)) is None) is expected
