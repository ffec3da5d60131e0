"""What is known about vendors: prices by source and date, addresses, fields that they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from pydantic import ValidationError

from router.choose.cards import frontier_card
from router.config.providers import ModelCard, ProviderConfig
from router.config.vendors import known
from router.errors import InvalidRequest
from router.targets.base import Call
from router.targets.frontier import FrontierTarget, frontier_targets
from router.targets.http_client import HttpClient
from router.wire.dialects import DIALECTS
from router.wire.endpoint import Endpoint, Usage
from router.wire.upstream_error import read_error
from tests.fakes.exchanges import table
from tests.fakes.faults import Fault
from tests.fakes.frontier import FakeFrontier
from tests.fakes.router_process import router

USER: Any = {"role": "user", "content": "hi"}
VENDORS = known().vendors


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


def configured(**more: Any) -> ProviderConfig:
    """One provider."""
    return ProviderConfig.model_validate({"name": "cloud", **more})


# The file


@pytest.mark.parametrize("name", VENDORS)
def test_the_file_is_sound(name: str) -> None:
    """Each vendor's address is a configuration; each price is somebody's, of some day."""
    vendor = VENDORS[name]
    assert vendor.dialect in DIALECTS
    assert known().at(vendor.base_url) is vendor
    assert bool(vendor.models) is (vendor.prices is not None)
    for model_id, model in vendor.models.items():
        card = configured(vendor=name, models=[{"id": model_id}]).models[0]
        assert 0 < card.input_usd_per_mtok <= card.output_usd_per_mtok
        assert (card.cached_input_usd_per_mtok or 0) < card.input_usd_per_mtok
        assert card.context_window == model.context_window >= 8192
        assert vendor.prices is not None
        assert vendor.prices.read.isoformat() <= known().version
        assert vendor.prices.page.startswith("https://")
        assert vendor.prices.by
    habits = vendor.takes is not None or vendor.leaves_out or vendor.renames or vendor.tells_cost
    assert bool(habits) is bool(vendor.about)  # what is claimed about an API is written somewhere


# Prices


def test_a_known_models_price_need_not_be_configured() -> None:
    """By the address; configuration counts more, and prices of two sources do not mix."""
    url = "https://generativelanguage.googleapis.com"
    by_list, by_hand, window = configured(
        base_url=url,
        dialect="gemini",
        models=[
            {"id": "gemini-2.5-flash"},
            {"id": "gemini-2.5-pro", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2},
            {"id": "gemini-3.5-flash", "context_window": 5000},
        ],
    ).models
    assert (by_list.input_usd_per_mtok, by_list.output_usd_per_mtok) == (0.3, 2.5)
    assert by_list.context_window == 1_048_576
    assert by_list.max_output_tokens == 4096
    assert (by_hand.input_usd_per_mtok, by_hand.cached_input_usd_per_mtok) == (1, None)
    assert by_hand.long_prompt is None
    assert by_hand.context_window == 1_048_576
    assert (window.context_window, window.output_usd_per_mtok) == (5000, 9)


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        ("https://api.openai.com/v1", "gpt-of-tomorrow"),
        ("https://llm.example/v1", "gpt-5"),  # somebody else's price of it is not known
        ("https://api.openai.com.example/v1", "gpt-5"),
    ],
)
def test_an_unknown_price_has_to_be_configured(base_url: str, model: str) -> None:
    """Said with the remedy and the day of the list."""
    with pytest.raises(ValidationError, match="set input_usd_per_mtok and output_usd") as raised:
        configured(base_url=base_url, models=[{"id": model}])
    assert known().version in str(raised.value)
    half = {"id": model, "input_usd_per_mtok": 1}
    with pytest.raises(ValidationError, match="set output_usd_per_mtok"):
        configured(base_url=base_url, models=[half])


def test_where_a_price_is_from() -> None:
    """A list, or somebody wrote it down."""
    config = configured(
        vendor="openai",
        models=[
            {"id": "gpt-5"},
            {"id": "gpt-5-mini", "input_usd_per_mtok": 0.2, "output_usd_per_mtok": 1.5},
        ],
    )
    lists = [config.price_list(card) for card in config.models]
    assert lists == [VENDORS["openai"].prices, None]


def test_long_prompts_have_their_own_price() -> None:
    """All tokens of the request, in what is booked and in what is expected alike."""
    config = configured(vendor="google", models=[{"id": "gemini-2.5-pro"}])
    card: ModelCard = config.models[0]
    price = frontier_card(config, card).price
    for usage, usd in (
        (Usage(200_000, 1000, 0), 0.26),
        (Usage(200_001, 1000, 0), 0.5150025),
        (Usage(300_000, 1000, 100_000), 0.54),
        (Usage(100_000, 1000, 50_000), 0.07875 + 1e-16),
    ):
        assert card.cost_usd(usage) == pytest.approx(usd)
        assert price.paid(usage) == pytest.approx(usd)


def test_a_vendor_by_name() -> None:
    """Fills in what is known; what is said counts more; an unknown one is refused by name."""
    groq = configured(vendor="groq", models=[{"id": "llama-3.1-8b-instant"}])
    assert groq.base_url == "https://api.groq.com/openai/v1"
    proxied = configured(
        vendor="groq", base_url="https://proxy.example/v1", models=[{"id": "llama-3.1-8b-instant"}]
    )
    assert proxied.base_url == "https://proxy.example/v1"
    assert proxied.models[0].output_usd_per_mtok == 0.08
    assert configured(vendor="openai", models=[{"id": "gpt-5"}]).max_tokens_field == (
        "max_completion_tokens"
    )
    for wrong in ("acme", 3, ["groq"]):
        with pytest.raises(ValidationError, match="vendor must be one of openai, anthropic"):
            configured(vendor=wrong, base_url="https://x.example", models=[{"id": "a"}])


async def test_models_say_where_their_prices_are_from(tmp_path: Path) -> None:
    """The day of the list; null where they were configured."""
    with FakeFrontier() as frontier:
        models = [{"id": "gpt-5"}, {"id": "m", "input_usd_per_mtok": 1, "output_usd_per_mtok": 1}]
        provider = {"name": "cloud", "vendor": "openai", "base_url": frontier.openai_url}
        config = {"providers": [{**provider, "models": models}]}
        async with router(tmp_path, config, table(), {}) as (http, _):
            found = (await http.get("/v1/models/cloud/gpt-5")).json()
            other = (await http.get("/v1/models/cloud/m")).json()
    prices = VENDORS["openai"].prices
    assert prices is not None
    assert found["price_list"] == prices.read.isoformat()
    assert found["max_model_len"] == 400_000
    assert other["price_list"] is None


# Habits


class Strict(FakeFrontier):
    """A vendor that refuses what it does not know, as Mistral does, and tells what it charged."""

    def __init__(self, takes: frozenset[str] | None = None, cost: Any = None) -> None:
        super().__init__()
        self._takes = takes
        self._cost = cost

    async def _answer(
        self, request: web.Request, body: dict[str, Any], fault: Fault | None
    ) -> web.StreamResponse:
        more = [] if self._takes is None else sorted(body.keys() - self._takes)
        if more:
            wrong = {"loc": ["body", more[0]], "msg": "Extra inputs are not permitted"}
            told = {"object": "error", "message": {"detail": [wrong]}}
            return web.json_response(told, status=422)
        if self._cost is None:
            return await super()._answer(request, body, fault)
        counts = {"prompt_tokens": 3, "completion_tokens": 5, "cost": self._cost}
        choice: Any = {"index": 0, "finish_reason": "stop"}
        head = {"id": "x", "created": 1, "model": "m", "usage": counts}
        if not body.get("stream"):
            choice["message"] = {"role": "assistant", "content": "hello"}
            return web.json_response({**head, "object": "chat.completion", "choices": [choice]})
        choice["delta"] = {"role": "assistant", "content": "hello"}
        chunk = orjson.dumps({**head, "object": "chat.completion.chunk", "choices": [choice]})
        events = [b"data: " + chunk + b"\n\n", b"data: [DONE]\n\n"]
        return await self._stream(request, events, fault)


def target_of(client: HttpClient, server: FakeFrontier, vendor: str) -> FrontierTarget:
    """A model of the vendor's, at the stand-in."""
    models = [{"id": "m", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2}]
    config = configured(vendor=vendor, base_url=server.openai_url, models=models)
    [found] = frontier_targets(client, [config]).values()
    return found


async def ask(target: FrontierTarget, endpoint: Endpoint = Endpoint.CHAT, **extra: Any) -> set[str]:
    """One question; what was named as left out."""
    warned: list[str] = []
    body = {"model": "m", "messages": [USER], **extra}
    asked = Call(endpoint, body, bool(extra.get("stream")), "r", 5.0, warn=warned.append)
    answer = await target.send(asked)
    async for _ in answer.chunks():
        pass
    await answer.aclose()
    return set(warned)


@pytest.mark.parametrize("stream", [False, True])
async def test_mistral_gets_what_it_takes(client: HttpClient, stream: bool) -> None:
    """By its own names; the rest is named, unless it says nothing about the answer."""
    with Strict(VENDORS["mistral"].takes) as server:
        target = target_of(client, server, "mistral")
        warned = await ask(
            target, max_completion_tokens=9, seed=7, logprobs=True, store=True, user="u",
            stream=stream, stream_options={"include_usage": True}, temperature=0.5,
        )  # fmt: skip
        await ask(target, Endpoint.MESSAGES, max_tokens=9, stream=stream)
        first, second = [each.body for each in server.requests]
    assert warned == {"logprobs"}
    assert (first["max_tokens"], first["random_seed"], first["temperature"]) == (9, 7, 0.5)
    assert second["max_tokens"] == 9


async def test_groq_gets_what_it_takes(client: HttpClient) -> None:
    """Names of who speaks go; one answer is all that can be had."""
    with FakeFrontier() as server:
        target = target_of(client, server, "groq")
        messages = [{**USER, "name": "Ann"}]
        warned = await ask(target, messages=messages, top_logprobs=2, logit_bias={}, n=1)
        with pytest.raises(InvalidRequest, match="must be 1") as raised:
            await ask(target, n=2)
        [received] = server.requests
    assert raised.value.param == "n"
    assert warned == {"messages.name", "top_logprobs", "logit_bias"}
    assert received.body["messages"] == [USER]
    assert received.body.keys() == {"model", "messages", "n"}


async def test_bytes_of_others_stay_as_they_are(client: HttpClient) -> None:
    """Unknown fields pass where nothing is known about the vendor, and where nothing is wrong."""
    with FakeFrontier() as server:
        for vendor in ("together", "openai"):
            assert (
                await ask(target_of(client, server, vendor), logprobs=True, of_tomorrow=1) == set()
            )
            assert server.requests[-1].body["of_tomorrow"] == 1


async def test_signatures_of_google_go_to_google_only(client: HttpClient) -> None:
    """A conversation that goes on elsewhere must not fail on them; nobody else is changed."""
    extra = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    spoken = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [USER, {"role": "assistant", "tool_calls": [{**spoken, **extra}], **extra}]
    with FakeFrontier() as server:
        for vendor in ("openai", "groq", "mistral"):
            assert await ask(target_of(client, server, vendor), messages=turns) == set()
            own = {"role": "assistant", "tool_calls": [spoken]}
            assert server.requests[-1].body["messages"] == [USER, own]
        await ask(target_of(client, server, "openrouter"), messages=turns)
        assert server.requests[-1].body["messages"] == turns


async def test_claude_gets_its_own_thoughts_only(client: HttpClient) -> None:
    """It refuses those that others signed, or nobody."""
    used = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    own = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    others = [{**own, "signature": signature} for signature in ("", "google.c2ln")]
    done = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}
    with FakeFrontier() as server:
        models = [{"id": "claude-sonnet-5", "capabilities": ["messages"]}]
        config = configured(vendor="anthropic", base_url=server.url, models=models)
        [target] = frontier_targets(client, [config]).values()
        for said, sent in (
            ([own, used], [own, used]),
            ([*others, own, used], [own, used]),
            (others[:1], others[:1]),  # nothing would be left
        ):
            turns = [USER, {"role": "assistant", "content": said}, done]
            await ask(target, Endpoint.MESSAGES, max_tokens=5, messages=turns)
            assert server.requests[-1].body["messages"][1]["content"] == sent


@pytest.mark.parametrize(
    "body",
    [
        {"object": "error", "message": {"detail": [{"loc": ["body", "seed"], "msg": "no"}]}},
        {"detail": [{"loc": ["body", "seed"], "msg": "no"}]},
    ],
)
def test_what_is_wrong_with_a_body_is_understood(body: Any) -> None:
    """Mistral's errors, and FastAPI's."""
    error = read_error(422, orjson.dumps(body))
    assert (error.message, error.param) == ("seed: no", "seed")


def test_vllm_names_the_field_as_the_client_does() -> None:
    """What it says of a body that it cannot read begins with ``body.``."""
    said = "1 validation error:\n  {'type': 'int_parsing', 'loc': 'body.max_tokens', 'msg': 'no'}"
    body = {"error": {"message": said, "param": "body.max_tokens", "code": 400}}
    error = read_error(400, orjson.dumps(body))
    assert error.param == "max_tokens"
    assert "'loc': 'max_tokens'" in error.message


@pytest.mark.parametrize(
    "body", [{"detail": []}, {"detail": [3]}, {"message": {"detail": 3}}, {"message": {}}, {}, 3]
)
def test_or_it_is_not(body: Any) -> None:
    """And then nothing breaks."""
    error = read_error(422, orjson.dumps(body))
    assert (error.message, error.param) == ("HTTP 422", None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("vendor", "cost", "usd"),
    [
        ("openrouter", 0.0421, "0.0421"),
        ("openrouter", 0, "0"),
        ("openrouter", -1, "0.000013"),  # 3 tokens at 1 USD, 5 at 2 USD per million
        ("openrouter", "free", "0.000013"),
        ("openrouter", True, "0.000013"),
        ("together", 0.0421, "0.000013"),  # nobody said that this is USD
    ],
)
async def test_what_was_charged(
    tmp_path: Path, vendor: str, cost: Any, usd: str, stream: bool
) -> None:
    """Is what is booked, of vendors that say so."""
    with Strict(cost=cost) as server:
        models = [{"id": "m", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2}]
        provider = {"name": "cloud", "vendor": vendor, "base_url": server.openai_url}
        config = {"providers": [{**provider, "models": models}]}
        async with router(tmp_path, config, table(), {}) as (http, _):
            body = {"model": "cloud/m", "messages": [USER], "stream": stream}
            answer = await http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    if stream:
        comment = next(line for line in answer.text.splitlines() if line.startswith(": "))
        told = orjson.loads(comment[comment.index("{") :])
        assert told["cost_usd"] == float(usd)
    else:
        assert float(answer.headers["x-graftwork-cost-usd"]) == float(usd)
