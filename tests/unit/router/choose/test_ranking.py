"""The order of candidates: the bound on the error holds, and who is dominated never wins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.choose.cards import Card
from router.choose.ranking import TIE, Candidate, Tier, ranked
from router.choose.refusals import Code

WORTHS = st.sampled_from([1e-6, 1e-3, 0.5, 10.0])
COSTS = st.sampled_from([0.0, 1e-6, 1.05e-6, 1.2e-6, 1e-3, 0.5])
QUALITIES = st.sampled_from([0.0, 0.2, 0.5, 0.69, 0.7, 0.71, 0.9, 1.0])
RISKS = st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0])


def candidate(name: str, cost_usd: float, quality: float, tier: Tier = Tier.INTENT) -> Candidate:
    """A frontier with a price and a quality."""
    made = Candidate(Card(name), Code.FRONTIER, "a model", tier=tier)
    made.cost_usd, made.quality = cost_usd, quality
    return made


CANDIDATES = st.lists(st.tuples(COSTS, QUALITIES), min_size=1, max_size=8).map(
    lambda pairs: [candidate(f"c{n}", *pair) for n, pair in enumerate(pairs)]
)


def names(candidates: list[Candidate]) -> list[str]:
    """Their targets."""
    return [each.card.target for each in candidates]


def test_the_cheapest_within_the_bound() -> None:
    """Good enough and cheap beats better and dear; what is not good enough comes last."""
    found = [
        candidate("best", 1.0, 0.99),
        candidate("cheap", 0.01, 0.9),
        candidate("bad", 0.0, 0.5),
    ]
    assert names(ranked(found, 0.15)) == ["cheap", "best", "bad"]
    assert names(ranked(found, 0.05)) == ["best", "cheap", "bad"]


def test_nobody_is_good_enough() -> None:
    """Then the best one is asked, and its reason says that the bound is exceeded."""
    first = ranked([candidate("a", 0.0, 0.5), candidate("b", 1.0, 0.6)], 0.1)[0]
    assert first.card.target == "b"
    assert first.code is Code.RISK_EXCEEDED
    assert "above the bound of 0.100" in first.why


def test_nearly_equal_costs_are_a_tie() -> None:
    """A few per cent of cost are not worth a worse answer."""
    found = [candidate("a", 1.0, 0.8), candidate("b", 1.05, 0.9), candidate("c", 1.2, 1.0)]
    assert names(ranked(found, 0.5)) == ["b", "a", "c"]


def test_without_a_bound_tiers_come_first() -> None:
    """Local before frontier, whatever it costs."""
    found = [candidate("far", 0.0, 1.0, Tier.FRONTIER), candidate("near", 5.0, 0.1, Tier.BASE)]
    assert names(ranked(found, None)) == ["near", "far"]


@given(CANDIDATES, st.none() | RISKS)
def test_nobody_is_lost(candidates: list[Candidate], risk: float | None) -> None:
    """Ranking orders; it neither adds nor drops."""
    assert sorted(names(ranked(candidates, risk))) == sorted(names(candidates))


@given(CANDIDATES, RISKS)
def test_the_bound_holds(candidates: list[Candidate], risk: float) -> None:
    """Everybody within the bound is ahead of everybody beyond it."""
    within = [1 - c.quality <= risk + 1e-12 for c in ranked(candidates, risk)]
    assert within == sorted(within, reverse=True)


@given(CANDIDATES, RISKS)
def test_the_cheapest_is_chosen_up_to_the_tie(candidates: list[Candidate], risk: float) -> None:
    """Nobody within the bound is cheaper than the first by more than the tie."""
    first = ranked(candidates, risk)[0]
    costs = [c.cost_usd for c in candidates if 1 - c.quality <= risk + 1e-12]
    if costs:
        assert first.cost_usd <= min(costs) * (1 + TIE) + 2e-9


@given(CANDIDATES, st.none() | RISKS)
def test_who_is_dominated_is_never_ahead(candidates: list[Candidate], risk: float | None) -> None:
    """When another costs no more and is no worse, that one is asked first."""
    found = ranked(candidates, risk)
    for place, later in enumerate(found):
        for earlier in found[:place]:
            no_worse = later.cost_usd <= earlier.cost_usd and later.quality >= earlier.quality
            better = later.cost_usd < earlier.cost_usd or later.quality > earlier.quality
            assert not (no_worse and better), (names(found), earlier, later)


def test_what_it_is_worth_decides() -> None:
    """A dearer target is asked where what it does better is worth more than it costs more."""
    found = [candidate("weak", 0.001, 0.6), candidate("strong", 0.01, 0.8)]
    assert names(ranked(found, None, 0.01)) == ["weak", "strong"]
    assert names(ranked(found, None, 0.1)) == ["strong", "weak"]
    assert "+0.070000 USD after its cost" in found[1].why


def test_what_neither_does_well_stays_with_the_cheaper() -> None:
    """Where a bound on the error would pay for it."""
    found = [candidate("weak", 0.001, 0.05), candidate("strong", 0.01, 0.06)]
    assert names(ranked(found, 0.3)) == ["strong", "weak"]
    assert names(ranked(found, None, 0.1)) == ["weak", "strong"]


def test_within_a_bound_the_worth_decides() -> None:
    """Who is beyond it comes after all who are within."""
    found = [candidate("bad", 0.0, 0.5), candidate("a", 0.001, 0.8), candidate("b", 0.01, 0.95)]
    assert names(ranked(found, 0.3, 1.0)) == ["b", "a", "bad"]
    assert names(ranked(found, 0.3, 0.01)) == ["a", "b", "bad"]


@given(CANDIDATES, st.none() | RISKS, WORTHS)
def test_by_worth_the_dominated_never_win(
    found: list[Candidate], risk: float | None, worth: float
) -> None:
    """Nobody is behind one who costs no less and is no better, and all are still there."""
    order = ranked(found, risk, worth)
    assert sorted(map(id, order)) == sorted(map(id, found))
    for place, one in enumerate(order):
        for other in order[place + 1 :]:
            better = other.cost_usd <= one.cost_usd and other.quality >= one.quality
            same = other.cost_usd == one.cost_usd and other.quality == one.quality
            assert same or not better
