"""Obligations as a check on the way out: what counts as answer, and what a violation says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.exchange import Exchange
from router.govern.obligations import KeptObligations, obligation_checks
from router.govern.window import Violation
from router.ruling import Obligation, Ruling
from router.wire.kinds import Kind
from router.wire.spoken import Place
from tests.fakes.exchanges import exchange

CAP = Obligation("cap", "max_discount", {"percent": 20})


@pytest.fixture
def obliged() -> Exchange:
    """A request whose answer must keep something."""
    found = exchange("base")
    found.decision = replace(found.decision, ruling=Ruling(rules=("cap",), obligations=(CAP,)))
    return found


def test_without_obligations_nothing_is_checked() -> None:
    """An answer passes untouched."""
    assert obligation_checks(exchange("base")) == []


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place(0, Kind.TEXT), "You get a quarter off."),
        (Place(0, Kind.ARGUMENTS, "0"), '{"discount_percent": 25}'),
        (Place(0, Kind.REFUSAL), "I can only do 25 % off."),
        (Place(0, Kind.OTHER, "note"), "25 % off"),
        (Place(0, Kind.TEXT), "You get a quarter off." + " And so on." * 400),
    ],
    ids=["text", "arguments", "refusal", "other", "long"],
)
async def test_all_that_a_client_gets_counts_as_answer(
    obliged: Exchange, place: Place, text: str
) -> None:
    """Tool arguments too; the violation may be asked about again, and is noted."""
    with pytest.raises(Violation) as broken:
        await KeptObligations(obliged).see(place, text, ended=True)
    assert broken.value.code == "policy_denied"
    assert broken.value.status == 403
    assert broken.value.retryable
    assert "20 %" in broken.value.reason
    assert "25" not in broken.value.message
    assert obliged.delivery.notes[0]["violated"] == ["cap"]


async def test_what_a_model_thinks_aloud_is_no_answer(obliged: Exchange) -> None:
    """It weighs what it must not offer."""
    place = Place(0, Kind.REASONING)
    assert await KeptObligations(obliged).see(place, "25 % off? No.", ended=True) == 0


async def test_places_are_read_apart(obliged: Exchange) -> None:
    """What one choice says does not end in another."""
    check = KeptObligations(obliged)
    assert await check.see(Place(0, Kind.TEXT), "You get 2", ended=False) > 0
    assert await check.see(Place(1, Kind.TEXT), "5 % off, at most.", ended=True) == 0
