"""What routers count of a version's answers after somebody judged them."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.traffic import VersionTraffic
from router.account.usage import Traffic

NAME = "returns@0123456789ab"


def said(decision: str, value: Any, kind: str = "boolean", target: str = NAME) -> dict[str, Any]:
    """One feedback, as it is kept."""
    judged = {"target": f"adapter:{target}"}
    return {"decision_id": decision, "kind": kind, "value": value, "judged": judged}


def test_judgements_are_counted_once_a_decision() -> None:
    """Booleans and shares; what is no judgement is not counted."""
    traffic = Traffic()
    traffic.judged(said("d1", True))
    traffic.judged(said("d2", 0.25, "float"))
    traffic.judged(said("d1", False))
    traffic.judged(said("d3", "nice", "comment"))
    traffic.judged({**said("d4", True), "judged": {"target": "frontier:cloud/big"}})
    traffic.judged({**said("d5", True), "judged": None})
    found = traffic.snapshot()
    assert found.keys() == {NAME}
    assert (found[NAME].judged, found[NAME].good) == (2, 1.25)


def test_a_version_that_left_is_not_counted() -> None:
    """Its name is no longer in the table."""
    traffic = Traffic(lambda target: target.endswith("@0123456789ab"))
    traffic.judged(said("d1", True, target="gone@0123456789cd"))
    assert traffic.snapshot() == {}


@pytest.mark.parametrize("before", [VersionTraffic(), VersionTraffic(judged=3, good=2, unsure=1)])
def test_counts_add_up_and_begin_anew(before: VersionTraffic) -> None:
    """What came since; all of it when a router was started again."""
    more = VersionTraffic(requests=5, unsure=2, judged=4, good=3.5)
    both = before.plus(more)
    assert both.since(before) == more
    assert more.since(VersionTraffic(requests=1, judged=9, good=9)) == more
