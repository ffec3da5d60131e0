"""From what somebody asked to what is done."""

from __future__ import annotations

import pytest

from adapters.distill.asking import Asking, NotDistillable
from adapters.flywheel.config import FlywheelConfig
from tests.fakes.learning_loop import FakeData, row

CONFIG = FlywheelConfig.model_validate({"routes": {"returns": {"alias": "learner"}}})


def asking(data: FakeData | None = None) -> Asking:
    """With one route, and one intent that was made of a cluster."""
    return Asking(CONFIG, data or FakeData(), {"gift cards": "cards"}.get)


@pytest.mark.parametrize(
    ("intent", "alias"),
    [
        ("returns", "learner"),
        ("gift cards", "cards"),
        ("Lost & Found", "lost-found"),
        ("orders", "orders"),
    ],
)
def test_which_alias_learns_an_intent(intent: str, alias: str) -> None:
    """Its route's, the one it was made with, or one of its name."""
    assert asking().wish(intent=intent).alias == alias
    assert asking().wish(intent=intent, alias="mine").alias == "mine"


def test_a_dataset_of_one_intent_names_it() -> None:
    """One of several does not say who learns it; what was erased is no dataset any more."""
    data = FakeData()
    one = data.freeze([row(1)])
    two = data.freeze([row(1), row(2, intent="orders")])
    wish = asking(data).wish(dataset=one.digest[:12])
    assert (wish.alias, wish.intent, wish.dataset) == ("learner", "returns", one.digest)
    with pytest.raises(NotDistillable, match="several intents"):
        asking(data).wish(dataset=two.digest)
    assert asking(data).wish(dataset=two.digest, alias="both").intent == ""
    data.rebuilt[one.digest] = two.digest
    with pytest.raises(NotDistillable, match="erased") as refused:
        asking(data).wish(dataset=one.digest)
    assert refused.value.status == 410


def test_settings_are_checked_when_they_are_asked_for() -> None:
    """Not when the trainer reads them."""
    assert asking().wish(intent="returns", settings={"rank": 8}).settings == {"rank": 8}
    with pytest.raises(NotDistillable) as refused:
        asking().wish(intent="returns", settings={"ranks": 8})
    assert (refused.value.param, refused.value.status) == ("settings.ranks", 422)
