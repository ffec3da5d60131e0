"""Comparisons that no request can meet are refused when rules are loaded."""

from __future__ import annotations

import re

import pytest

from router.policy.conditions import BadCondition, compiled


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ('target == "frontier:openai/gpt"', "target.name"),
        ("'frontier:openai/gpt' == target", "target.name"),
        ('tenant == "a" && target != "base"', "target.kind"),
        ('target in ["base", "adapter:returns"]', "target.name"),
        ('time == "monday"', "time.weekday"),
        ('request == "gpt-4o"', "request.model"),
        ('facts == "gold"', "facts.<name>"),
        ('entities == "IBAN"', '"IBAN" in entities'),
        ('time.weekday == "Monday"', "monday"),
        ('time.weekday in ["saturday", "Sunday"]', '"Sunday"'),
        ('target.kind == "frontiers"', "frontier"),
        ("tenant == 5", "never 5"),
        ('time.hour == "9"', "never"),
        ('target.local == "true"', "never"),
        ("request.stream == 1", "never 1"),
    ],
)
def test_what_can_never_be_met_is_refused(condition: str, told: str) -> None:
    """With what was probably meant."""
    with pytest.raises(BadCondition, match=re.escape(told)):
        compiled(condition)


@pytest.mark.parametrize(
    "condition",
    [
        'target.name == "frontier:openai/gpt"',
        'target.kind == "frontier" && time.weekday in ["saturday", "sunday"]',
        '"IBAN" in entities && tenant != "the target == 5"',
        'entities == ["IBAN"]',
        "size(entities) == 1",
        "request.images == 1.0 && confidence == 1",
        'facts.tier == 5 || claims.role == "x"',
        'facts.target == "x"',
        "target.local == true",
        'entities.exists(kind, kind == "IBAN")',
        'target.regions.exists(each, each == "eu")',
        'target.name in ["base"] || request.model.startsWith("gpt")',
        "target.cost_usd == 0",
        "time.hour == -1",
    ],
)
def test_what_can_be_met_is_taken(condition: str) -> None:
    """Also what only looks like a slip, inside a text or of a loop's own names."""
    assert compiled(condition).source == condition
