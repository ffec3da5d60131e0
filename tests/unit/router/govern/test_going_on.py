"""Who goes on with a broken stream sees it by its own rules (law 5), over real connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from router.config.governance import GovernanceConfig
from router.exchange import Exchange
from router.govern.detect.patterns import Patterns
from router.govern.governance import Governance
from router.govern.scan import Detectors
from router.wire.endpoint import Endpoint
from router.wire.formats.base import PrefillStyle
from router.wire.texts import texts
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.sending import BASE, desk, frontier, provider
from tests.fakes.streams import objects

MAIL = "ann.planted@example.org"
PLAIN = f"Write to {MAIL} at once please."
B = frontier("b")


@pytest.fixture
def servers() -> Iterator[tuple[FakeFrontier, FakeFrontier]]:
    """One that sees the plain text, and one that sees placeholders."""
    with FakeFrontier(text=PLAIN) as plain, FakeFrontier() as vaulted:
        vaulted.text = PLAIN.replace(MAIL, "[EMAIL_1]")
        yield plain, vaulted


def guarded(exchange: Exchange) -> None:
    """Give the request its guard, as the pipeline does."""
    governed = Governance(GovernanceConfig(), Detectors(Patterns()), lambda value: value)
    request = replace(exchange.request, texts=tuple(texts(exchange.request.body)))
    exchange.delivery.guarded(governed.guard(request))


def said(raw: bytes) -> str:
    """What the client read."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in objects(raw)
        if event is not None
        for choice in event.get("choices", [])
    )


async def test_a_frontier_goes_on_from_a_local_stream_without_seeing_the_value(
    servers: tuple[FakeFrontier, FakeFrontier],
) -> None:
    """The client has the value already; the frontier gets the placeholder, and so does its end."""
    plain, vaulted = servers
    plain.misbehave(Fault(Kind.BREAK_OFF, after=5))
    config = provider("b", vaulted.url, prefill_style=PrefillStyle.CONTINUE)
    async with desk({"b": config}, [plain]) as sending:
        exchange = sending.exchange(
            BASE, B, endpoint=Endpoint.CHAT, stream=True, text=f"mail {MAIL}", max_tokens=50
        )
        guarded(exchange)
        raw = await sending.answer(exchange)
    assert said(raw) == PLAIN
    assert [attempt.target for attempt in exchange.delivery.attempts] == ["base", B.target]
    sent = vaulted.requests[0].body["messages"]
    assert sent[0]["content"] == "mail [EMAIL_1]"
    assert "Write to [EMAIL_1] at once please.".startswith(sent[1]["content"])
    assert MAIL.encode() not in vaulted.requests[0].raw


async def test_a_local_model_goes_on_from_a_frontiers_stream_with_the_value(
    servers: tuple[FakeFrontier, FakeFrontier],
) -> None:
    """What the client read is what it goes on from."""
    plain, vaulted = servers
    vaulted.misbehave(Fault(Kind.BREAK_OFF, after=5))
    async with desk({"b": vaulted}, [plain]) as sending:
        exchange = sending.exchange(
            B, BASE, endpoint=Endpoint.CHAT, stream=True, text=f"mail {MAIL}", max_tokens=50
        )
        guarded(exchange)
        raw = await sending.answer(exchange)
    assert said(raw) == PLAIN
    assert plain.requests[0].body["messages"][-1]["content"].startswith(f"Write to {MAIL}")


async def test_nobody_goes_on_from_inside_a_value(
    servers: tuple[FakeFrontier, FakeFrontier],
) -> None:
    """A value of several words was cut: its half is no placeholder, so no frontier sees it."""
    plain, vaulted = servers
    card = "4111 1111 1111 1111"
    plain.text = f"Pay with {card} at once please."
    plain.misbehave(Fault(Kind.BREAK_OFF, after=5))
    config = provider("b", vaulted.url, prefill_style=PrefillStyle.CONTINUE)
    async with desk({"b": config}, [plain]) as sending:
        exchange = sending.exchange(
            BASE, B, endpoint=Endpoint.CHAT, stream=True, text=f"card {card}", max_tokens=50
        )
        guarded(exchange)
        raw = await sending.answer(exchange)
    assert said(raw) == plain.text
    assert not vaulted.requests
    assert [attempt.target for attempt in exchange.delivery.attempts] == ["base", "base"]
