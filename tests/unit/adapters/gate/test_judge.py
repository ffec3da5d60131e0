"""The gate's statistics: what passes, what fails, what is refused, and how often by chance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from adapters.gate import exact
from adapters.gate.judge import Demand, Item, Verdict, item_of, judge
from adapters.gate.shares import Paired


def _items(n: int, wins: int, losses: int, right: int = 0) -> list[Item]:
    """So many items: won, lost, both right, and the rest both wrong."""
    scores = [(1.0, 0.0)] * wins + [(0.0, 1.0)] * losses + [(1.0, 1.0)] * right
    scores += [(0.0, 0.0)] * (n - len(scores))
    return [Item(str(k), *pair) for k, pair in enumerate(scores)]


def _simulated(
    chance: np.random.Generator, n: int, discordant: float, difference: float, demand: Demand
) -> Verdict:
    won, lost = (discordant + difference) / 2, (discordant - difference) / 2
    wins, losses, _ = chance.multinomial(n, [won, lost, max(0.0, 1 - won - lost)])
    return judge(_items(n, int(wins), int(losses)), demand)


def test_an_equal_version_passes_when_there_are_enough_items() -> None:
    """As many won as lost, and the bound is within the margin."""
    found = judge(_items(300, 8, 8, 250), Demand(margin=0.05, alpha=0.05))
    assert found.verdict == "passed"
    assert found.lower > -0.05
    assert found.power > 0.9
    assert found.n_missing == 0


def test_few_items_are_refused_and_the_missing_ones_are_named() -> None:
    """And with so many more of the same kind, the verdict is given."""
    found = judge(_items(12, 1, 1, 10), Demand(margin=0.05, alpha=0.05))
    assert found.verdict == "refused"
    assert found.power < 0.8
    assert found.n_missing is not None
    assert f"{found.n_missing} more are needed" in found.reason
    enough = judge(
        _items(12 + found.n_missing, *[(12 + found.n_missing) // 12] * 2),
        Demand(margin=0.05, alpha=0.05),
    )
    assert enough.verdict == "passed"


def test_no_items_are_refused() -> None:
    """Nothing is known, and the least number that could tell is."""
    found = judge([], Demand(margin=0.1, alpha=0.05))
    assert (found.verdict, found.n, found.n_missing) == ("refused", 0, 29)


def test_a_worse_version_fails() -> None:
    """Also where the answers differ so much that an equal one might not have passed."""
    found = judge(_items(200, 4, 40, 150), Demand(margin=0.05))
    assert found.verdict == "failed"
    assert found.upper < 0


def test_a_better_version_need_not_prove_that_it_could_be_equal() -> None:
    """What it wins would otherwise count as noise."""
    found = judge(_items(40, 34, 0, 4), Demand(margin=0.1, alpha=0.05))
    assert found.verdict == "passed"
    assert found.difference == pytest.approx(0.85)


def test_a_few_items_prove_nothing_however_much_they_agree() -> None:
    """As many as must agree: 0.9 to the 29th is below 5 %."""
    assert judge(_items(28, 0, 0, 28), Demand(margin=0.1, alpha=0.05)).verdict == "refused"
    assert judge(_items(29, 0, 0, 29), Demand(margin=0.1, alpha=0.05)).verdict == "passed"


def test_a_repeated_item_counts_once() -> None:
    """The same question three times is no evidence three times."""
    once = _items(20, 1, 1, 18)
    assert judge([*once, *once, *once], Demand(margin=0.1)).n == 20


def test_a_slice_that_breaks_down_blocks_what_passes_on_the_whole() -> None:
    """900 other items do not outvote it."""
    fine = [Item(f"a{k}", 1.0, 1.0, ("intent=returns",)) for k in range(900)]
    broken = [Item(f"b{k}", 0.0, 1.0, ("intent=refunds",)) for k in range(20)]
    found = judge([*fine, *broken], Demand(margin=0.05))
    assert found.lower > -0.05
    assert found.verdict == "failed"
    assert "intent=refunds (0.00 against 1.00)" in found.reason


def test_slices_block_only_beyond_doubt() -> None:
    """Ten slices of an equal version, 100 times: not more than 1 % of versions are blocked."""
    chance = np.random.default_rng(4)
    blocked = 0
    for _ in range(100):
        items = [
            Item(f"{s}-{k}", float(a), float(b), (f"tenant={s}",))
            for s in range(10)
            for k, (a, b) in enumerate(chance.random((30, 2)) < 0.9)
        ]
        blocked += any(each.blocks for each in judge(items, Demand(margin=0.1)).slices)
    assert blocked <= 1


@pytest.mark.parametrize(("n", "discordant"), [(120, 0.1), (400, 0.1), (1000, 0.2)])
def test_as_good_fails_and_as_bad_as_the_margin_passes_as_seldom_as_is_said(
    n: int, discordant: float
) -> None:
    """Less than 5 % and at most 1 %, where there are items enough."""
    chance, demand = np.random.default_rng(n), Demand(margin=0.1, alpha=0.01)
    same = Counter(_simulated(chance, n, discordant, 0.0, demand).verdict for _ in range(400))
    worse = Counter(_simulated(chance, n, 0.15, -0.1, demand).verdict for _ in range(400))
    assert same["failed"] <= 0.05 * 400
    assert worse["passed"] <= 0.01 * 400 + 6  # three standard errors


@pytest.mark.parametrize("n", [20, 61, 150])
@pytest.mark.parametrize("margin", [0.02, 0.1, 0.25])
def test_the_exact_test_is_exact_between_its_grid_points_too(n: int, margin: float) -> None:
    """The largest chance to pass over all shares of losses is alpha."""
    for lost in np.linspace(margin, (1 + margin) / 2, 61):
        passed = exact.power(n, -margin, 2 * lost - margin, margin, 0.05)
        assert passed <= 0.0505


@pytest.mark.parametrize(("n", "margin", "alpha"), [(60, 0.05, 0.01), (47, 0.05, 0.0005)])
def test_alpha_holds_where_the_two_disagree_on_nearly_everything(
    n: int, margin: float, alpha: float
) -> None:
    """There the chance to pass changes between points that are far apart."""
    most = (1 + margin) / 2
    for lost in np.linspace(margin + 0.8 * (most - margin), most, 120):
        assert exact.power(n, -margin, 2 * lost - margin, margin, alpha) <= 1.002 * alpha


def test_the_bound_agrees_with_the_test() -> None:
    """Above minus the margin just when it passes."""
    for wins in range(0, 12, 3):
        for losses in range(0, 12, 2):
            lower, _ = exact.bounds(90, wins, losses, 0.08, 0.05)
            passes = exact.score(90, wins, losses, 0.08) >= exact.critical(90, 0.08, 0.05)
            assert passes == (lower >= -0.08 - 1e-9)


def test_printed_power_is_the_chance_that_was_simulated() -> None:
    """3,000 versions as good."""
    chance, demand = np.random.default_rng(2), Demand(margin=0.1, alpha=0.05)
    passed = sum(
        exact.score(150, w, v, 0.1) >= exact.critical(150, 0.1, 0.05)
        for w, v, _ in chance.multinomial(150, [0.05, 0.05, 0.9], size=3000)
    )
    assert passed / 3000 == pytest.approx(
        exact.power(150, 0.0, 0.1, demand.margin, demand.alpha), abs=0.025
    )


@pytest.mark.parametrize("shape", ["rarely", "noise", "half"])
def test_shares_that_are_worse_by_the_margin_pass_seldom(shape: str) -> None:
    """Whether they lose rarely and wholly, often and by half, or a little everywhere."""
    chance, n, margin = np.random.default_rng(7), 80, 0.1
    passed = 0
    for _ in range(400):
        if shape == "rarely":
            found = -(chance.random(n) < margin).astype(float)
        elif shape == "half":
            found = -0.5 * (chance.random(n) < 2 * margin)
        else:
            found = chance.beta(2, 2, n) - chance.beta(2, 2, n) - margin
        passed += Paired(found.tolist()).passes(margin, 0.05)
    assert passed <= 400 * 0.05 + 13


def test_shares_are_judged_too() -> None:
    """The same three verdicts."""
    chance = np.random.default_rng(3)
    scores = np.clip(chance.normal(0.8, 0.1, (200, 2)), 0, 1)
    same = [Item(str(k), float(a), float(b)) for k, (a, b) in enumerate(scores)]
    worse = [Item(i.id, max(0.0, i.candidate - 0.2), i.current) for i in same]
    assert judge(same, Demand(margin=0.05)).verdict == "passed"
    assert judge(worse, Demand(margin=0.05)).verdict == "failed"
    assert judge(same[:4], Demand(margin=0.05)).verdict == "refused"


@pytest.mark.parametrize(
    "given",
    [
        {"id": "a", "candidate": 2, "current": 0},
        {"id": "a", "candidate": "1", "current": 0},
        {"id": "a", "candidate": float("nan"), "current": 0},
        {"id": True, "candidate": 1, "current": 0},
        {"id": 1.5, "candidate": 1, "current": 0},
        {"id": "a", "candidate": 1, "current": 0, "slice": 3},
        {"id": "a", "candidate": 1},
    ],
)
def test_items_that_make_no_sense_are_named(given: dict[str, object]) -> None:
    """The field is in the message."""
    with pytest.raises(ValueError, match=r"id|candidate|current|slice"):
        item_of(given)


def test_an_item_without_an_id_is_named_by_its_place() -> None:
    """Who measures elsewhere has often none."""
    assert item_of({"candidate": 1, "current": 0}, 3).id == "#3"


def test_one_outcome_and_all_of_them_have_the_same_score() -> None:
    """The table that the critical value comes from, and the verdict, speak of one statistic."""
    chance = np.random.default_rng(9)
    for margin in (0.0, 0.02, 0.3):
        for _ in range(50):
            wins, losses, rest = map(int, chance.multinomial(60, [0.2, 0.2, 0.6]))
            outcome = np.array([float(wins)]), np.array([float(losses)])
            whole = float(exact._scores(60, *outcome, margin)[0])
            assert exact.score(wins + losses + rest, wins, losses, margin) == pytest.approx(whole)


@pytest.mark.parametrize("score", [1.0, 0.5])
def test_what_was_judged_again_and_again_is_judged_still(score: float) -> None:
    """Each look halves the chance of error: after fifty of them it is nearly none."""
    items = [Item(str(number), 1.0, score) for number in range(100)]
    for n in (100, 40):
        assert judge(items[:n], Demand(0.05, 0.01 / 2**50)).verdict in {"passed", "refused"}
