"""Streams that break are continued elsewhere, over real connections; or they end with an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from router.config.delivery import DeliveryConfig
from router.config.providers import ProviderConfig
from router.errors import TargetBroken
from router.exchange import Exchange
from router.request import Option
from router.wire.endpoint import Endpoint
from router.wire.formats.base import PrefillStyle
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.sending import BASE, IMPATIENT, QUICK, Desk, desk, frontier, provider, until
from tests.fakes.streams import objects

TEXT = "One two three four five six seven."
WORDS = 7
A, B = frontier("a"), frontier("b")
BREAKS = [Kind.BREAK_OFF, Kind.ERROR_MIDWAY, Kind.MALFORMED]
PREAMBLE = {
    Endpoint.CHAT: 1,
    Endpoint.COMPLETIONS: 0,
    Endpoint.MESSAGES: 3,
    Endpoint.RESPONSES: 3,
}
"""Events before the first word, in the fake's streams."""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[FakeFrontier, FakeFrontier]]:
    """Two that give the same answer, as two replicas would."""
    with FakeFrontier(text=TEXT) as one, FakeFrontier(text=TEXT) as other:
        yield one, other


@pytest.fixture
def one(servers: tuple[FakeFrontier, FakeFrontier]) -> FakeFrontier:
    """The one that breaks."""
    servers[0].forget()
    return servers[0]


@pytest.fixture
def other(servers: tuple[FakeFrontier, FakeFrontier]) -> FakeFrontier:
    """The one that goes on."""
    servers[1].forget()
    return servers[1]


def fault(kind: Kind, words: int, endpoint: Endpoint = Endpoint.CHAT) -> Fault:
    """Break after so many words."""
    return Fault(kind, after=PREAMBLE.get(endpoint, 3) + words)


def text_of(raw: bytes) -> str:
    """What a client reads, in any dialect."""
    found = ""
    for event in objects(raw):
        if event is None or "error" in event:
            continue
        if event.get("type") == "content_block_delta":
            found += event["delta"]["text"]
        if event.get("type") == "response.output_text.delta":
            found += event["delta"]
        for choice in event.get("choices", []):
            found += choice.get("text") or choice.get("delta", {}).get("content") or ""
    return found


def ends(raw: bytes) -> int:
    """How often a stream ends."""
    marks = (b"[DONE]", b"event: message_stop", b"event: response.completed")
    return sum(raw.count(mark) for mark in marks)


def ask(sending: Desk, *options: Option, endpoint: Endpoint = Endpoint.CHAT) -> Exchange:
    """A streamed request whose text the fakes know how to continue."""
    body = {"max_tokens": 50} if endpoint is Endpoint.MESSAGES else {}
    return sending.exchange(*options, endpoint=endpoint, stream=True, text="tell me|", **body)


def _idle(seconds: float) -> DeliveryConfig:
    """The usual, with another bound between two events."""
    timeouts = QUICK.timeouts.model_copy(update={"idle_s": seconds})
    return QUICK.model_copy(update={"timeouts": timeouts})


def rescues(exchange: Exchange) -> list[dict[str, object]]:
    """As the record has them."""
    return [note for note in exchange.delivery.notes if "rescued" in note]


async def test_who_went_on_is_who_answered(one: FakeFrontier, other: FakeFrontier) -> None:
    """Session, final comment and record name who ended the answer, not who broke."""
    one.misbehave(fault(Kind.BREAK_OFF, 3, Endpoint.CHAT))
    async with desk({"a": one, "b": other}) as sending:
        exchange = ask(sending, A, B)
        await sending.answer(exchange)
    assert exchange.chosen == B
    assert [(x.target, x.outcome) for x in exchange.delivery.attempts] == [
        (A.target, "cut"),
        (B.target, "ok"),
    ]


async def test_who_began_a_kept_response_decides_each_time(
    one: FakeFrontier, other: FakeFrontier
) -> None:
    """An engine began it and keeps nothing: it goes on twice, also after a provider's part."""
    one.misbehave(fault(Kind.BREAK_OFF, 3, Endpoint.RESPONSES))
    other.misbehave(fault(Kind.BREAK_OFF, 2, Endpoint.RESPONSES))
    async with desk({"b": other}, [one]) as sending:
        exchange = ask(sending, BASE, B, endpoint=Endpoint.RESPONSES)
        raw = await sending.answer(exchange)
    assert text_of(raw) == TEXT
    assert [attempt.target for attempt in exchange.delivery.attempts] == ["base", B.target, "base"]


@pytest.mark.parametrize("endpoint", PREAMBLE)
@pytest.mark.parametrize(
    ("kind", "words"), [*((kind, 4) for kind in BREAKS), (Kind.BREAK_OFF, 1), (Kind.BREAK_OFF, 7)]
)
async def test_a_replica_goes_on_where_another_broke(
    one: FakeFrontier, other: FakeFrontier, endpoint: Endpoint, kind: Kind, words: int
) -> None:
    """Same text, one head, one end, right totals; and the record tells."""
    one.misbehave(fault(kind, words, endpoint))
    async with desk({}, [one, other]) as sending:
        sending.holder.suspect(sending.holder.current.replicas[1])
        exchange = ask(sending, BASE, endpoint=endpoint)
        raw = await sending.answer(exchange)
    assert text_of(raw) == TEXT
    if endpoint is not Endpoint.RESPONSES:  # which repeats the message at its end
        assert raw.count(b'"role"') <= 1
    assert ends(raw) == 1
    assert [(n["rescued"], n["by"], n["after_tokens"]) for n in rescues(exchange)] == [
        ("base", "base", words)
    ]
    assert len(one.requests) == len(other.requests) == 1
    if endpoint is not Endpoint.MESSAGES:
        assert exchange.account.usage.output_tokens == WORDS
    first, second = exchange.delivery.attempts
    assert first.outcome in {"cut", "stalled", "broken"}
    assert second.outcome == "ok"
    sent = other.requests[0].body
    if endpoint is Endpoint.COMPLETIONS:
        assert sent["prompt"] == "tell me|" + " ".join(TEXT.split()[:words])
    elif endpoint is Endpoint.RESPONSES:
        asked, said = sent["input"]
        assert asked == {"role": "user", "content": "tell me|"}
        assert (said["role"], said["status"]) == ("assistant", "in_progress")
        assert said["content"][0]["text"] == " ".join(TEXT.split()[:words])
    else:
        assert sent["messages"][-1]["role"] == "assistant"
        assert sent["continue_final_message"] is True
        assert sent["add_generation_prompt"] is False


async def test_stalled_streams_go_on_elsewhere(one: FakeFrontier, other: FakeFrontier) -> None:
    """Nothing for a while, or nothing but comments: in each dialect, all at once."""
    kinds = [Kind.HANG_MIDWAY, Kind.PINGS]
    async with desk({}, [one, other], config=IMPATIENT) as sending:
        asked = []
        for endpoint, before in PREAMBLE.items():
            for kind in kinds:
                stalled = Fault(kind, after=before + 3)
                prompt = f"tell me [[{json.dumps(asdict(stalled))}]]|"
                bound = {} if endpoint is Endpoint.RESPONSES else {"max_tokens": 50}
                exchange = sending.exchange(
                    BASE, endpoint=endpoint, stream=True, text=prompt, **bound
                )
                asked.append(exchange)
        other.obeys = False
        sending.holder.suspect(sending.holder.current.replicas[1])
        try:
            raws = await asyncio.gather(*(sending.answer(exchange) for exchange in asked))
        finally:
            other.obeys = True
    assert [text_of(raw) for raw in raws] == [TEXT] * len(asked)
    assert {note["why"] for exchange in asked for note in rescues(exchange)} <= {"stalled"}


@pytest.mark.parametrize("endpoint", PREAMBLE)
@pytest.mark.parametrize("kind", [Kind.CUT, Kind.CUT_IN_EVENT])
async def test_a_reset_may_take_bytes_with_it(
    one: FakeFrontier, other: FakeFrontier, endpoint: Endpoint, kind: Kind
) -> None:
    """A reset overtakes what was sent: wherever that leaves the stream, the text is whole."""
    one.misbehave(*[fault(kind, 4, endpoint)] * 2)
    async with desk({}, [one, other]) as sending:
        exchange = ask(sending, BASE, endpoint=endpoint)
        raw = await sending.answer(exchange)
    assert text_of(raw) == TEXT
    assert ends(raw) == 1


async def test_totals_of_a_rescued_stream(one: FakeFrontier, other: FakeFrontier) -> None:
    """The client that asked for usage gets that of the whole; each attempt keeps its own."""
    one.misbehave(fault(Kind.BREAK_OFF, 3))
    async with desk({}, [one, other]) as sending:
        sending.holder.suspect(sending.holder.current.replicas[1])
        exchange = sending.exchange(
            BASE, stream=True, text="tell me", max_tokens=20, stream_options={"include_usage": True}
        )
        raw = await sending.answer(exchange)
    usage = [e["usage"] for e in objects(raw) if e is not None and e.get("usage")]
    assert [(u["prompt_tokens"], u["completion_tokens"], u["total_tokens"]) for u in usage] == [
        (2, WORDS, 2 + WORDS)
    ]
    assert (exchange.account.usage.input_tokens, exchange.account.usage.output_tokens) == (2, WORDS)
    second = exchange.delivery.attempts[1].usage
    assert (second.input_tokens, second.output_tokens) == (2 + 3, WORDS - 3)
    assert other.requests[0].body["max_tokens"] == 17


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
@pytest.mark.parametrize("style", [*PrefillStyle, "anthropic"])
async def test_a_provider_goes_on_in_its_own_way(
    one: FakeFrontier, other: FakeFrontier, endpoint: Endpoint, style: PrefillStyle
) -> None:
    """From a local stream to each kind of provider, translated where it must be."""
    config: ProviderConfig
    if isinstance(style, PrefillStyle):
        config = provider("b", other.url, prefill_style=style)
    else:
        config = provider("b", other.url, dialect=style)
    one.misbehave(fault(Kind.BREAK_OFF, 3, endpoint))
    async with desk({"b": config}, [one]) as sending:
        exchange = ask(sending, BASE, B, endpoint=endpoint)
        raw = await sending.answer(exchange)
    assert text_of(raw) == TEXT
    sent = other.requests[0].body
    said = sent["messages"][-1]["content"]
    assert (said if isinstance(said, str) else said[0]["text"]) == "One two three"
    assert sent["messages"][-1].get("prefix", False) is (style is PrefillStyle.PREFIX)
    assert sent.get("continue_final_message", False) is (style is PrefillStyle.CONTINUE)


@pytest.mark.parametrize("stream_of", ["openai", "anthropic"])
async def test_a_local_model_goes_on_for_a_provider(
    one: FakeFrontier, other: FakeFrontier, stream_of: str
) -> None:
    """A cut provider's stream ends with the base's words."""
    one.misbehave(fault(Kind.BREAK_OFF, 2, Endpoint.MESSAGES))
    config = provider("a", one.url, dialect=stream_of)
    async with desk({"a": config}, [other]) as sending:
        exchange = ask(sending, A, BASE, endpoint=Endpoint.MESSAGES)
        raw = await sending.answer(exchange)
    assert text_of(raw) == TEXT
    assert raw.count(b"event: message_start") == 1


async def test_only_who_can_and_may_goes_on(one: FakeFrontier, other: FakeFrontier) -> None:
    """A model without prefill and a forbidden one are not asked; the stream ends with an error."""
    plain = provider("a", one.url)
    card = plain.models[0].model_copy(update={"capabilities": frozenset({"chat"})})
    without = provider("b", other.url).model_copy(update={"models": (card,)})
    forbidden = frontier("c", allowed=False)
    one.misbehave(fault(Kind.BREAK_OFF, 2), Kind.RESET, Kind.RESET)
    with FakeFrontier(text=TEXT) as third:
        async with desk({"a": plain, "b": without, "c": third}) as sending:
            exchange = ask(sending, A, B, forbidden)
            with pytest.raises(TargetBroken):
                await sending.answer(exchange)
        assert not third.requests
    assert not other.requests
    assert exchange.delivery.notes[-1]["not_rescued"] == A.target


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
)
async def test_what_cannot_be_continued_ends_with_an_error(
    one: FakeFrontier, other: FakeFrontier, fields: dict[str, Any]
) -> None:
    """Never a truncated success, and never a guess."""
    one.misbehave(Fault(Kind.BREAK_OFF, after=3))
    async with desk({"a": one, "b": other}) as sending:
        exchange = sending.exchange(A, B, stream=True, **fields)
        with pytest.raises(TargetBroken):
            await sending.answer(exchange)
    assert not other.requests
    assert "why" in exchange.delivery.notes[-1]


async def test_a_responses_stream_ends_with_a_numbered_error(
    one: FakeFrontier, other: FakeFrontier
) -> None:
    """The error event gets the number after the last one that was sent."""
    one.misbehave(Fault(Kind.BREAK_OFF, after=5))
    async with desk({"a": one, "b": other}) as sending:
        exchange = sending.exchange(A, B, endpoint=Endpoint.RESPONSES, stream=True)
        with pytest.raises(TargetBroken) as caught:
            await sending.answer(exchange)
    assert caught.value.sequence == 5


async def test_a_rescued_response_can_be_rescued_and_ends_in_order(
    one: FakeFrontier, other: FakeFrontier
) -> None:
    """Twice, its numbers going on; then an error event has the next number."""
    breaks = fault(Kind.BREAK_OFF, 2, Endpoint.RESPONSES)
    for times in (2, 3):
        one.misbehave(breaks, *[breaks] * (times - 2))
        other.misbehave(breaks)
        async with desk({}, [one, other]) as sending:
            sending.holder.suspect(sending.holder.current.replicas[1])
            exchange = ask(sending, BASE, endpoint=Endpoint.RESPONSES)
            if times == 2:
                raw = await sending.answer(exchange)
                assert text_of(raw) == TEXT
                events = [event for event in objects(raw) if event is not None]
                assert [e["sequence_number"] for e in events] == list(range(3 + WORDS + 4))
                assert exchange.account.usage.output_tokens == WORDS
                continue
            with pytest.raises(TargetBroken) as caught:
                await sending.answer(exchange)
            assert caught.value.sequence == 3 + 6


@pytest.mark.parametrize("style", PrefillStyle)
async def test_a_provider_goes_on_with_a_response_through_chat(
    one: FakeFrontier, other: FakeFrontier, style: PrefillStyle
) -> None:
    """Its Responses begin each answer anew; what chat says becomes the rest of the response."""
    one.misbehave(fault(Kind.BREAK_OFF, 3, Endpoint.RESPONSES))
    config = provider("b", other.url, prefill_style=style)
    async with desk({"b": config}, [one]) as sending:
        exchange = sending.exchange(
            BASE,
            B,
            endpoint=Endpoint.RESPONSES,
            stream=True,
            text="tell me",
            instructions="be brief",
            max_output_tokens=20,
        )
        raw = await sending.answer(exchange)
    assert text_of(raw) == TEXT
    assert ends(raw) == 1
    sent = other.requests[0]
    assert sent.path == "/v1/chat/completions"
    assert [m["role"] for m in sent.body["messages"]] == ["system", "user", "assistant"]
    assert sent.body["messages"][-1]["content"] == "One two three"
    assert 17 in (sent.body.get("max_completion_tokens"), sent.body.get("max_tokens"))
    last = [event for event in objects(raw) if event is not None][-1]["response"]
    assert last["output"][0]["content"][0]["text"] == TEXT
    assert last["usage"]["output_tokens"] == exchange.account.usage.output_tokens == WORDS
    assert last["usage"]["input_tokens"] == exchange.account.usage.input_tokens == 2


@pytest.mark.parametrize("store", [None, True, False])
async def test_what_a_provider_keeps_under_its_id_is_its_own(
    one: FakeFrontier, other: FakeFrontier, store: bool | None
) -> None:
    """A later request may refer to the response: then nobody else adds to it."""
    one.misbehave(fault(Kind.BREAK_OFF, 3, Endpoint.RESPONSES))
    async with desk({"a": one}, [other]) as sending:
        exchange = sending.exchange(
            A, BASE, endpoint=Endpoint.RESPONSES, stream=True, text="tell me|", store=store
        )
        if store is False:
            assert text_of(await sending.answer(exchange)) == TEXT
            return
        with pytest.raises(TargetBroken):
            await sending.answer(exchange)
    assert not other.requests
    assert "under its id" in exchange.delivery.notes[-1]["why"]


async def test_a_response_whose_text_had_ended_ends_with_an_error(
    one: FakeFrontier, other: FakeFrontier
) -> None:
    """Whether its bound on tokens ended it is told in the event that is missing."""
    one.misbehave(Kind.NO_END)
    async with desk({}, [one, other]) as sending:
        sending.holder.suspect(sending.holder.current.replicas[1])
        exchange = ask(sending, BASE, endpoint=Endpoint.RESPONSES)
        with pytest.raises(TargetBroken) as caught:
            await sending.answer(exchange)
    assert caught.value.sequence == 3 + WORDS + 3
    assert not other.requests


async def test_a_responses_stream_that_said_nothing_starts_anew(
    one: FakeFrontier, other: FakeFrontier
) -> None:
    """Events that only announce are held back until there is content."""
    one.misbehave(Fault(Kind.BREAK_OFF, after=3))
    async with desk({"a": one, "b": other}) as sending:
        raw = await sending.answer(sending.exchange(A, B, endpoint=Endpoint.RESPONSES, stream=True))
    assert raw.count(b"event: response.created\n") == raw.count(b"event: response.completed\n") == 1


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.MESSAGES])
async def test_a_stream_that_said_everything_gets_its_end(
    one: FakeFrontier, other: FakeFrontier, endpoint: Endpoint
) -> None:
    """The finish reason was told: only the last event is missing, and nobody has to be asked."""
    one.misbehave(Kind.NO_END)
    dialect = "anthropic" if endpoint is Endpoint.MESSAGES else "openai"
    async with desk({"a": provider("a", one.url, dialect=dialect), "b": other}) as sending:
        exchange = ask(sending, A, B, endpoint=endpoint)
        raw = await sending.answer(exchange)
    assert text_of(raw) == TEXT
    assert raw.endswith((b"data: [DONE]\n\n", b'data: {"type":"message_stop"}\n\n'))
    assert not other.requests


@pytest.mark.parametrize("endpoint", PREAMBLE)
async def test_a_stream_that_reached_its_bound_gets_its_end(
    one: FakeFrontier, other: FakeFrontier, endpoint: Endpoint
) -> None:
    """As many pieces as tokens were allowed: there is nothing left to generate."""
    one.misbehave(fault(Kind.BREAK_OFF, 3, endpoint))
    bound = {"max_output_tokens" if endpoint is Endpoint.RESPONSES else "max_tokens": 3}
    async with desk({"b": other}, [one]) as sending:
        exchange = sending.exchange(BASE, B, endpoint=endpoint, stream=True, text="x|", **bound)
        raw = await sending.answer(exchange)
    assert text_of(raw) == "One two three"
    assert b'"length"' in raw or b'"max_tokens"' in raw or b"event: response.incomplete" in raw
    assert not other.requests


async def test_a_rescue_can_be_rescued_and_not_for_ever(
    one: FakeFrontier, other: FakeFrontier
) -> None:
    """Each break is continued from there, twice."""
    one.misbehave(fault(Kind.BREAK_OFF, 2), fault(Kind.BREAK_OFF, 2))
    other.misbehave(fault(Kind.BREAK_OFF, 2))
    async with desk({"a": one, "b": other}) as sending:
        exchange = ask(sending, A, B)
        with pytest.raises(TargetBroken):
            await sending.answer(exchange)
        assert [note["after_tokens"] for note in rescues(exchange)] == [2, 4]
        one.misbehave(fault(Kind.BREAK_OFF, 2))
        other.misbehave(fault(Kind.BREAK_OFF, 2))
        again = ask(sending, A, B)
        assert text_of(await sending.answer(again)) == TEXT


async def test_a_slow_but_steady_stream_is_left_alone(one: FakeFrontier) -> None:
    """Longer than the idle bound all in all, never longer between two events."""
    one.misbehave(Fault(Kind.SLOW_DRIP, delay_s=0.2))
    async with desk({"a": one}, config=_idle(1.2)) as sending:
        exchange = ask(sending, A)
        assert text_of(await sending.answer(exchange)) == TEXT
    assert exchange.delivery.attempts[0].seconds > 1.2


async def test_a_slow_client_is_not_a_stalled_target(one: FakeFrontier) -> None:
    """While the client takes its time, nobody waits for the target."""
    async with desk({"a": one}, config=_idle(1.0)) as sending:
        exchange = ask(sending, A)
        answer = await sending.sender.send(exchange)
        raw = b""
        async for chunk in answer.chunks():
            raw += chunk.raw
            if raw == chunk.raw:
                await asyncio.sleep(1.5)
        await answer.aclose()
    assert text_of(raw) == TEXT
    assert exchange.delivery.attempts[0].outcome == "ok"


async def test_leaving_a_stream_and_its_rescue(one: FakeFrontier, other: FakeFrontier) -> None:
    """Whoever speaks at that moment is told; what was sent by then is on record."""
    one.misbehave(fault(Kind.BREAK_OFF, 2))
    other.misbehave(fault(Kind.HANG_MIDWAY, 2))
    patient = _idle(30.0)
    left = other.left
    async with desk({"a": one, "b": other}, config=patient) as sending:
        exchange = ask(sending, A, B)
        task = asyncio.create_task(sending.answer(exchange))
        await until(
            lambda: (
                len(exchange.delivery.attempts) == 2 and exchange.delivery.attempts[1].streamed == 3
            )
        )
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: other.left > left)
    assert [attempt.outcome for attempt in exchange.delivery.attempts] == ["cut", "cancelled"]
