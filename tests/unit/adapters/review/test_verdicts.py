"""What several verdicts on one exchange come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.review.verdicts import Judgement, Outcome, Standing, Verdict, standing

_WORDS = {
    "a": (Verdict.ACCEPT, "given", "frontier:x/y"),
    "g": (Verdict.ACCEPT, "given", "frontier:x/y"),
    "e": (Verdict.EDIT, "better", ""),
    "f": (Verdict.EDIT, "other", ""),
    "d": (Verdict.ACCEPT, "shown", "demonstration"),
    "r": (Verdict.REJECT, "", ""),
    "!": (Verdict.ESCALATE, "", ""),
}


def after(said: str, per_item: int = 1) -> Standing:
    """So many reviewers said one letter each, one after the other."""
    given = []
    for at, letter in enumerate(said):
        verdict, answer, source = _WORDS[letter]
        given.append(Judgement(f"r{at}", verdict, answer, float(at), source))
    return standing(given, per_item)


@pytest.mark.parametrize(
    ("said", "per_item", "outcome", "answer", "provenance"),
    [
        ("", 1, None, "", None),
        ("a", 1, Outcome.GOLD, "given", "teacher"),
        ("e", 1, Outcome.GOLD, "better", "human"),
        ("d", 1, Outcome.GOLD, "shown", "human"),
        ("r", 1, Outcome.REJECTED, "", None),
        ("!", 1, None, "", None),
        ("!a", 1, Outcome.GOLD, "given", "teacher"),
        ("a!", 1, None, "", None),
        ("a!a", 1, Outcome.GOLD, "given", "verified"),
        ("a!r", 1, None, "", None),
        ("ae", 1, None, "", None),
        ("aea", 1, Outcome.GOLD, "given", "verified"),
        ("aee", 1, Outcome.GOLD, "better", "verified"),
        ("aef", 1, None, "", None),
        ("aefe", 1, None, "", None),
        ("aefee", 1, Outcome.GOLD, "better", "verified"),
        ("arr", 1, Outcome.REJECTED, "", None),
        ("a", 2, None, "", None),
        ("aa", 2, Outcome.GOLD, "given", "verified"),
        ("ar", 2, None, "", None),
        ("ara", 2, Outcome.GOLD, "given", "verified"),
        ("aar", 3, Outcome.GOLD, "given", "verified"),
        ("aa", 3, None, "", None),
    ],
)
def test_what_verdicts_come_to(
    said: str, per_item: int, outcome: Outcome | None, answer: str, provenance: str | None
) -> None:
    """One mind settles; of two that differ a third decides; escalating asks for one more."""
    found = after(said, per_item)
    assert (found.outcome, found.answer, found.provenance) == (outcome, answer, provenance)


def test_who_carries_it_is_named() -> None:
    """Not who was outvoted."""
    assert after("aea").reviewers == ("r0", "r2")
    assert after("ae").disputed
    assert after("a!").escalated
    assert not after("a!a").escalated


def test_answers_that_differ_in_spelling_only_are_one() -> None:
    """Case, spaces, Unicode form; a sign or a point is another answer."""
    one = Judgement("r0", Verdict.EDIT, "Within  30 Days.", 0.0)
    same = Judgement("r1", Verdict.EDIT, "within 30 days.\n", 1.0)
    minus = Judgement("r1", Verdict.EDIT, "within -30 days.", 1.0)
    assert standing([one, same], 2).answer == "Within  30 Days."
    assert standing([one, minus], 2).disputed


def test_accepting_no_answer_makes_no_gold() -> None:
    """Of a request that nobody has answered yet: it may be answered."""
    permitted = standing([Judgement("r0", Verdict.ACCEPT, "", 0.0)], 1)
    assert permitted.outcome is Outcome.PERMITTED
    assert permitted.provenance is None


@given(st.text("aefdr!", max_size=7), st.integers(1, 4))
def test_gold_always_has_a_majority(said: str, per_item: int) -> None:
    """Whatever is said: gold needs enough voices, and more than half of them."""
    found = after(said, per_item)
    voices = [letter for letter in said if letter != "!"]
    if found.outcome is None:
        assert found.answer == ""
        assert found.provenance is None
        return
    assert len(voices) >= per_item
    assert len(found.reviewers) * 2 > len(voices)
    assert all(said[int(name[1:])] != "!" for name in found.reviewers)
    if found.outcome is Outcome.REJECTED:
        assert all(said[int(name[1:])] == "r" for name in found.reviewers)
    else:
        assert all(said[int(name[1:])] in "aefd" for name in found.reviewers)
