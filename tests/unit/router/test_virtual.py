"""Virtual models: whom a name means, and who of its targets is asked first."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.aliases import Alias, RoutingTable
from router.choose.cards import Card
from router.choose.ranking import Candidate
from router.choose.refusals import Code
from router.choose.virtual import Virtuals, ordered
from router.config.root import RouterConfig
from router.config.virtual import Strategy, VirtualModel

OURS = Alias(name="gpt-4o-ours")
TABLE = RoutingTable(revision=1, base_id="tiny", aliases={"gpt-4o-ours": OURS})
PROVIDER = {
    "name": "cloud",
    "base_url": "http://127.0.0.1:1/v1",
    "models": [{"id": "big", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}],
}


def _means(models: dict[str, Any], name: str) -> str | None:
    known = frozenset({"cloud/big"})
    virtuals = Virtuals({n: VirtualModel.model_validate(m) for n, m in models.items()}, known)
    found = virtuals.of(name, TABLE)
    return None if found is None else found[0]


def test_exact_names_go_before_real_ones_and_globs_behind_them() -> None:
    """A glob never takes away what somebody really calls."""
    models = {
        "smart": {"targets": ["base"]},
        "gpt-*": {"targets": ["base"]},
        "*": {"targets": ["auto"]},
    }
    assert _means(models, "smart") == "smart"
    assert _means(models, "gpt-4o") == "gpt-*"
    assert _means(models, "anything") == "*"
    for real in ("auto", "base", "tiny", "cloud/big", "gpt-4o-ours", "gpt-4o-ours@000000000000"):
        assert _means(models, real) is None


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda w: sum(w) > 0.01),
    st.text(min_size=1, max_size=8),
    st.sampled_from(Strategy),
)
def test_every_strategy_asks_each_target_once(
    weights: list[float], key: str, strategy: Strategy
) -> None:
    """Whatever the order, nobody is lost and nobody comes twice."""
    targets = tuple(f"t{n}" for n in range(len(weights)))
    given_weights = tuple(weights) if strategy is Strategy.WEIGHTED else None
    virtual = VirtualModel(targets=targets, strategy=strategy, weights=given_weights)
    found = [Candidate(Card(t), Code.VIRTUAL, "", place=n) for n, t in enumerate(targets)]
    asked = ordered([*found, *found], virtual, "v", key, lambda _: None)
    assert sorted(c.card.target for c in asked) == sorted(targets)
    assert ordered(found, virtual, "v", key, lambda _: None) == [
        next(f for f in found if f.card.target == c.card.target) for c in asked
    ]


def test_a_change_of_weights_moves_only_who_has_to_move() -> None:
    """As rendezvous hashing promises: whoever leaves a target goes to the one that grew."""
    targets = ("a", "b", "c")
    found = [Candidate(Card(t), Code.VIRTUAL, "", place=n) for n, t in enumerate(targets)]

    def first(weights: tuple[float, ...], key: str) -> str:
        virtual = VirtualModel(targets=targets, strategy=Strategy.WEIGHTED, weights=weights)
        return ordered(found, virtual, "v", key, lambda _: None)[0].card.target

    keys = [f"s{n}" for n in range(3000)]
    before = {key: first((1, 1, 2), key) for key in keys}
    after = {key: first((1, 1, 4), key) for key in keys}
    moved = {(before[key], after[key]) for key in keys if before[key] != after[key]}
    assert moved == {("a", "c"), ("b", "c")}
    assert abs(Counter(before.values())["c"] / 3000 - 0.5) < 0.04
    assert abs(Counter(after.values())["c"] / 3000 - 2 / 3) < 0.04


@pytest.mark.parametrize(
    ("router", "why"),
    [
        ({"models": {"auto": {"targets": ["base"]}}}, "something else is"),
        ({"models": {"cloud": {"targets": ["base"]}}}, "something else is"),
        ({"models": {"cloud/big": {"targets": ["base"]}}}, "something else is"),
        ({"models": {"a": {"targets": ["b"]}, "b": {"targets": ["base"]}}}, "virtual model itself"),
        ({"models": {"a": {"targets": ["cloud/small"]}}}, "no provider has"),
        ({"fallbacks": {"base": ["nowhere/small"]}}, "no provider has"),
        ({"models": {"a": {"targets": []}}}, "at least 1 item"),
        ({"models": {"a": {"targets": ["base", "base"]}}}, "distinct"),
        ({"models": {"a": {"targets": ["base"], "weights": [1]}}}, "strategy: weighted"),
        (
            {"models": {"a": {"targets": ["base"], "strategy": "weighted", "weights": [1, 2]}}},
            "2 weights for 1",
        ),
        (
            {"models": {"a": {"targets": ["base"], "strategy": "weighted", "weights": {"x": 1}}}},
            "exactly the targets",
        ),
        (
            {"models": {"a": {"targets": ["base"], "strategy": "weighted", "weights": [0]}}},
            "must be positive",
        ),
        ({"models": {"a": {"targets": ["base"], "parameters": {"stream": True}}}}, "must not set"),
    ],
)
def test_what_makes_no_sense_is_refused(router: dict[str, Any], why: str) -> None:
    """With the name and the reason."""
    with pytest.raises(ValidationError, match=why):
        RouterConfig.model_validate({"providers": [PROVIDER], **router})
