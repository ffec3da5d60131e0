"""What cannot answer is not asked: capabilities, context, price, residency, latency, health."""

from __future__ import annotations

from typing import Any

import pytest

from router.choose.choose import Chooser
from router.choose.learning import Learning
from router.choose.measured import MIN_SAMPLES
from router.config.root import RouterConfig
from router.exchange import Exchange
from router.request import Hints, Needs, Request
from router.wire.endpoint import Endpoint
from tests.fakes.deciding import (
    BIG,
    SMALL,
    allowed,
    chooser,
    config,
    error,
    model,
    refused,
    returns,
    world,
)
from tests.fakes.exchanges import LIVE, exchange, put

HERE = world(returns(), max_model_len=1000)
FRONTIERS = {"frontiers": ["*"]}
LIVE_TARGET = f"adapter:returns@{LIVE[:12]}"


def asked(name: str = "auto", needs: Needs | None = None, **hints: Any) -> Exchange:
    """A request that needs something."""
    found = exchange(name, table=HERE)
    return put(found, needs=needs or Needs(), hints=Hints(**hints))


@pytest.mark.parametrize(
    ("feature", "capability"),
    [("tools", "tools"), ("json_schema", "json_schema"), ("vision", "vision")],
)
def test_features(feature: str, capability: str) -> None:
    """A frontier without the feature is struck out; the one that has it answers."""
    models = [model("big", capabilities=["chat", capability]), model("small")]
    by = chooser(models, routing={**FRONTIERS, "local": {"capabilities": []}})
    found = asked(needs=Needs(features=frozenset({feature})))
    assert allowed(found, by) == [f"frontier:{BIG}"]
    assert refused(found, by) == {"base": feature, f"frontier:{SMALL}": feature}


def test_endpoints() -> None:
    """A model that has no such endpoint is struck out before it is called."""
    by = chooser([model("big", capabilities=["chat"])], routing=FRONTIERS)
    found = exchange("auto", table=HERE, endpoint=Endpoint.COMPLETIONS)
    assert allowed(found, by) == ["base"]
    assert refused(found, by) == {f"frontier:{BIG}": "endpoint"}


@pytest.mark.parametrize(
    ("tokens", "bound", "fits"),
    [(800, None, True), (800, 120, True), (800, 121, False), (900, None, False)],
)
def test_context(tokens: int, bound: int | None, fits: bool) -> None:
    """Prompt, margin and answer fit into the window of 1000, or the larger window answers."""
    by = chooser(routing=FRONTIERS)
    found = allowed(asked(needs=Needs(tokens, bound)), by)
    assert found[0] == ("base" if fits else f"frontier:{SMALL}")


def test_who_is_named_is_trusted_to_fit() -> None:
    """A client that names a model gets that model's own verdict, not an estimate's."""
    long = Needs(5000, None, frozenset({"vision"}))
    assert allowed(asked("base", long), chooser()) == ["base"]
    assert allowed(asked("returns", long), chooser())[0] == LIVE_TARGET


def test_the_clients_cost_limit_is_hard() -> None:
    """Whoever is expected to cost more is not asked, and a named one neither."""
    by = chooser(routing=FRONTIERS)
    needs = Needs(500, 300)
    cheap = asked(needs=needs, max_cost_usd=0.003)
    assert refused(cheap, by) == {f"frontier:{BIG}": "max_cost"}
    found = error(asked(BIG, needs, max_cost_usd=0.003), by)
    assert (found.status, found.code) == (400, "max_cost_exceeded")


def test_a_routes_cost_limit() -> None:
    """The tighter of the client's and the route's limit holds."""
    by = chooser(routing={**FRONTIERS, "routes": {"*": {"max_cost_usd": 0.003}}})
    assert refused(asked(needs=Needs(500, 300)), by) == {f"frontier:{BIG}": "max_cost"}


def test_cold_adapters() -> None:
    """An adapter that no ready engine holds does not delay anybody; it is told to be wanted."""
    by, here = chooser(), world(returns(), cold=[f"returns@{LIVE[:12]}"])
    found = exchange("returns", table=here)
    assert allowed(found, by)[-1] == "base"
    assert found.decision.options[-1].code == "not_resident"
    assert found.decision.wanted == LIVE_TARGET


def test_when_only_moments_speak_against_all() -> None:
    """Without any ready engine the request still goes to delivery, which knows the newest state."""
    found = exchange("base", table=HERE.model_copy(update={"replicas": ()}))
    assert allowed(found, chooser()) == ["base"]


class _Down:
    """Says of some targets that they are down."""

    def __init__(self, *down: str) -> None:
        self._down = down

    def why_not(self, target: str) -> str | None:
        """Down or not."""
        return "its breaker is open" if target in self._down else None


def unhealthy(made: RouterConfig, *down: str) -> Chooser:
    """A chooser that knows who is down."""
    return Chooser(made, Learning(made.routing), _Down(*down))


def test_health() -> None:
    """Who is down is passed over while somebody else can answer."""
    made = config(routing=FRONTIERS)
    assert refused(asked(), unhealthy(made, "base")) == {"base": "unhealthy"}
    assert allowed(asked(BIG), unhealthy(made, f"frontier:{BIG}")) == [f"frontier:{BIG}"]


def test_latency_is_a_hard_limit() -> None:
    """A target that was measured to be too slow is struck out; an unknown one is tried."""
    made = config(routing={**FRONTIERS, "routes": {"*": {"max_first_byte_s": 0.5}}})
    learning = Learning(made.routing)
    by = Chooser(made, learning)
    assert refused(asked(), by) == {}
    for _ in range(MIN_SAMPLES):
        learning.measured.add("base", 10, 1.0, 2.0)
        learning.measured.add(f"frontier:{BIG}", 10, 0.1, 2.0)
    assert refused(asked(), by) == {"base": "too_slow"}
    assert allowed(asked("base"), by) == ["base"]


@pytest.mark.parametrize(
    ("needs", "code"),
    [
        (Needs(900), "context_length_exceeded"),
        (Needs(1, None, frozenset({"vision"})), "unsupported_capability"),
    ],
)
def test_nobody_fits(needs: Needs, code: str) -> None:
    """The client is told what to change."""
    found = error(asked(needs=needs), chooser())
    assert (found.status, found.code) == (400, code)


def test_frontiers_are_offered_on_purpose() -> None:
    """`auto` sends text to a provider only where the configuration offers it."""
    assert allowed(asked(), chooser()) == ["base"]
    assert refused(asked(), chooser()) == {
        f"frontier:{BIG}": "not_offered", f"frontier:{SMALL}": "not_offered"
    }  # fmt: skip
    by = chooser(routing={"frontiers": ["cloud/s*"]})
    assert allowed(asked(), by) == ["base", f"frontier:{SMALL}"]


class _Funds:
    """Knows what is left."""

    def __init__(self, usd: float | None) -> None:
        self._usd = usd

    def left_usd(self, _request: Request) -> float | None:
        """So much."""
        return self._usd


def test_budgets() -> None:
    """What the budget does not cover is passed over while something cheaper can answer."""
    made, needs = config(routing=FRONTIERS), Needs(500, 300)
    by = Chooser(made, Learning(made.routing), funds=_Funds(0.003))
    assert refused(asked(needs=needs), by) == {f"frontier:{BIG}": "budget"}
    unlimited = Chooser(made, Learning(made.routing), funds=_Funds(None))
    assert refused(asked(needs=needs), unlimited) == {}
    # Nobody else: the reservation refuses with the figures that only it knows.
    assert allowed(asked(BIG, needs), by) == [f"frontier:{BIG}"]
