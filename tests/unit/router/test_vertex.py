"""Vertex AI: its addresses, and access tokens that are fetched once and renewed in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from router.config.google import GoogleAuth
from router.config.providers import MissingKey, ProviderConfig, read_keys
from router.errors import Failure, TargetUnavailable
from router.targets.base import Call
from router.targets.frontier import FrontierTarget, frontier_targets
from router.targets.google_tokens import EARLY_S, LEAST_S, PAUSE_S, YOUNG_S, AccessTokens
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint
from tests.fakes.frontier import FakeFrontier
from tests.fakes.frontier_gemini import FakeGemini
from tests.fakes.google_tokens import KEY_ID, FakeTokens


class Clock:
    """Time as the test wants it."""

    now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


PROJECT = "https://europe-west4-aiplatform.googleapis.com/v1/projects/acme/locations/europe-west4"
PRICE = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2}


@pytest.fixture
def google() -> Iterator[FakeTokens]:
    """Who gives tokens."""
    with FakeTokens() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


def configured(base_url: str, model: str = "gemini-2.5-flash", **more: Any) -> ProviderConfig:
    """One model of Vertex AI."""
    raw = {"name": "vertex", "dialect": "vertex", "base_url": base_url}
    return ProviderConfig.model_validate({**raw, "models": [{"id": model, **PRICE}], **more})


# Addresses


@pytest.mark.parametrize(
    ("base_url", "model", "url"),
    [
        (PROJECT, "gemini-2.5-flash", f"{PROJECT}/publishers/google/models/gemini-2.5-flash"),
        (PROJECT, "meta/llama-4", f"{PROJECT}/publishers/meta/models/llama-4"),
        (PROJECT, "publishers/x/models/y", f"{PROJECT}/publishers/x/models/y"),
        (PROJECT, "endpoints/123", f"{PROJECT}/endpoints/123"),
        (
            "https://aiplatform.googleapis.com",
            "gemini-2.5-flash",
            "https://aiplatform.googleapis.com/v1/publishers/google/models/gemini-2.5-flash",
        ),
    ],
)
def test_where_models_are(base_url: str, model: str, url: str) -> None:
    """Below project and region, by publisher; tuned ones at their endpoints."""
    config = configured(base_url, model)
    assert config.url(Endpoint.CHAT, model) == f"{url}:generateContent"
    streamed = config.url(Endpoint.CHAT, model, stream=True)
    assert streamed == f"{url}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"google_auth": {}}, "one of the two"),
        ({"google_auth": {"metadata_server": True, "service_account_file": "x"}}, "one of the two"),
        ({"google_auth": {"metadata_server": True}, "api_key_env": "K"}, "not both"),
        ({"google_auth": {"metadata_server": True}, "dialect": "gemini"}, "takes keys"),
        ({"google_auth": {"metadata_server": True, "metadata_url": "ftp://x"}}, "pattern"),
    ],
)
def test_what_does_not_go_together_is_refused(more: Any, why: str) -> None:
    """At the start, by name."""
    with pytest.raises(ValidationError, match=why):
        configured(PROJECT, **more)


def test_an_account_that_cannot_be_used(google: FakeTokens, tmp_path: Path) -> None:
    """Is refused at the start, without a word of what the file holds."""
    path = tmp_path / "account.json"
    config = configured(PROJECT, google_auth={"service_account_file": path})
    with pytest.raises(MissingKey, match="cannot be read"):
        read_keys(config, {})
    for more in (
        {"private_key": "sssshhh"},
        {"private_key": 3},
        {"client_email": None},
        {"token_uri": "http://elsewhere.example/token"},
        {"token_uri": "file:///etc/passwd"},
    ):
        google.account(path, **more)
        with pytest.raises(MissingKey, match="service account") as raised:
            read_keys(config, {})
        assert "sssshhh" not in str(raised.value)
        assert "elsewhere" not in str(raised.value)
    path.write_text("[1]")
    with pytest.raises(MissingKey, match="no JSON key"):
        frontier_targets(HttpClient(), [config])
    google.account(path)
    assert read_keys(config, {}) == []


# Calls


async def ask(target: FrontierTarget, *, stream: bool = False) -> bytes:
    """One question."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": stream}
    answer = await target.send(Call(Endpoint.CHAT, body, stream, "req-1", 5.0))
    try:
        return b"".join([chunk.raw async for chunk in answer.chunks()])
    finally:
        await answer.aclose()


@pytest.mark.parametrize("source", ["account", "machine"])
async def test_vertex_through_a_token(
    client: HttpClient, google: FakeTokens, tmp_path: Path, source: str
) -> None:
    """One token for many calls; one that is no longer taken is replaced once."""
    auth: dict[str, Any] = {"metadata_server": True, "metadata_url": google.url}
    if source == "account":
        auth = {"service_account_file": google.account(tmp_path / "account.json")}
    with FakeGemini(obeys=False) as server:
        server.tokens = google.valid
        config = configured(server.vertex_url, google_auth=auth)
        [target] = frontier_targets(client, [config]).values()
        for stream in (False, True, False):
            assert b"Hello" in await ask(target, stream=stream)
        assert google.asked == 1
        google.valid.clear()  # somebody revoked it, at once
        with pytest.raises(TargetUnavailable) as raised:
            await ask(target)
        assert raised.value.failure is Failure.CREDENTIALS
        assert google.asked == 1


async def test_a_revoked_token_is_replaced(client: HttpClient, google: FakeTokens) -> None:
    """Before anybody notices, unless it was new: then its like would be refused, too."""
    clock = Clock()
    auth = GoogleAuth(metadata_server=True, metadata_url=google.url)
    tokens = AccessTokens(client, auth, "v", clock=clock)
    first = await tokens.take()
    assert not tokens.refused(first)
    clock.now += YOUNG_S
    assert tokens.refused(first)
    second = await tokens.take()
    assert second != first
    assert tokens.refused(first)  # who was late finds the next one
    assert await tokens.take() == second


async def test_vertexs_openai_compatible_api(client: HttpClient, google: FakeTokens) -> None:
    """By configuration only: the same tokens, OpenAI's dialect."""
    auth = {"metadata_server": True, "metadata_url": google.url}
    with FakeFrontier(api_key="ya29.token-1") as server:
        config = configured(
            server.openai_url, "google/gemini-2.5-flash", dialect="openai", google_auth=auth
        )
        [target] = frontier_targets(client, [config]).values()
        assert b"Hello" in await ask(target)


async def test_an_api_key_has_its_own_header(client: HttpClient) -> None:
    """As Vertex AI takes it without a project."""
    with FakeGemini(api_key="AIzaKey", obeys=False) as server:
        config = configured(server.url, api_key_env="K")
        [target] = frontier_targets(client, [config], {"K": "AIzaKey"}).values()
        assert b"Hello" in await ask(target)
        assert server.requests[0].headers["x-goog-api-key"] == "AIzaKey"


# Tokens


def machine(client: HttpClient, google: FakeTokens, clock: Clock) -> AccessTokens:
    """Tokens of a machine."""
    auth = GoogleAuth(metadata_server=True, metadata_url=google.url)
    return AccessTokens(client, auth, "vertex", clock=clock)


async def test_it_is_renewed_before_it_expires(client: HttpClient, google: FakeTokens) -> None:
    """And used until then."""
    clock = Clock()
    tokens = machine(client, google, clock)
    first = await tokens.take()
    clock.now += 3600 - EARLY_S - 1
    assert await tokens.take() == first
    clock.now += 2
    assert await tokens.take() != first
    assert google.asked == 2


async def test_many_share_one_request(client: HttpClient, google: FakeTokens) -> None:
    """Who has none waits for it; who has an old one goes on with it."""
    clock = Clock()
    tokens = machine(client, google, clock)
    google.delay_s = 0.1
    found = await asyncio.gather(*(tokens.take() for _ in range(50)))
    assert len(set(found)) == 1
    assert google.asked == 1
    clock.now += 3600 - EARLY_S + 1
    found = await asyncio.gather(*(tokens.take() for _ in range(50)))
    assert found.count("ya29.token-1") == 49
    assert google.asked == 2


async def test_many_share_one_failure(
    client: HttpClient, google: FakeTokens, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody asks again for a while; then somebody does. Nothing that was said is repeated."""
    clock = Clock()
    tokens = machine(client, google, clock)
    google.status, google.delay_s = 503, 0.05
    caplog.set_level(logging.DEBUG)
    found = await asyncio.gather(*(tokens.take() for _ in range(50)), return_exceptions=True)
    assert {type(each) for each in found} == {TargetUnavailable}
    assert google.asked == 1
    with pytest.raises(TargetUnavailable, match="no access token: 503 unavailable") as raised:
        await tokens.take()
    assert google.asked == 1
    assert raised.value.failure is Failure.SERVER
    assert raised.value.retry_after_s == PAUSE_S
    google.status = 200
    clock.now += PAUSE_S
    assert await tokens.take() == "ya29.token-2"
    assert "secret" not in caplog.text
    assert "ya29" not in caplog.text


async def test_a_failure_to_renew_costs_nothing_yet(client: HttpClient, google: FakeTokens) -> None:
    """The old one is used as long as it lasts, and not longer."""
    clock = Clock()
    tokens = machine(client, google, clock)
    first = await tokens.take()
    google.status = 500
    clock.now += 3600 - EARLY_S + 1
    assert await tokens.take() == first
    assert await tokens.take() == first
    assert google.asked == 2
    clock.now += EARLY_S - LEAST_S
    with pytest.raises(TargetUnavailable):
        await tokens.take()
    assert google.asked == 3


async def test_who_leaves_while_asking_spoils_nothing(
    client: HttpClient, google: FakeTokens
) -> None:
    """The next in line asks."""
    tokens = machine(client, google, Clock())
    google.delay_s = 5.0
    first = asyncio.create_task(tokens.take())
    second = asyncio.create_task(tokens.take())
    while not google.asked:  # noqa: ASYNC110 - the server counts
        await asyncio.sleep(0.005)
    google.delay_s = 0.0
    first.cancel()
    assert await second == "ya29.token-2"
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize(
    "said",
    [
        b"{}", b"[]", b"<html>", b'{"access_token": 3, "expires_in": 9}',
        b'{"access_token": "a\\nb", "expires_in": 9}',
        b'{"access_token": "a", "expires_in": "soon"}', b'{"access_token": "a", "expires_in": 5}',
    ],
)  # fmt: skip
async def test_something_else_than_a_token(
    client: HttpClient, google: FakeTokens, said: bytes
) -> None:
    """Is a failure like any other; one that is about to expire is none."""
    google.says = said
    with pytest.raises(TargetUnavailable, match="no access token"):
        await machine(client, google, Clock()).take()


async def test_a_changed_account_is_taken_over(
    client: HttpClient, google: FakeTokens, tmp_path: Path
) -> None:
    """Within a second, without a restart; one that is half written changes nothing."""
    clock, path = Clock(), tmp_path / "account.json"
    google.account(path, private_key_id="old")
    auth = GoogleAuth(service_account_file=path)
    tokens = AccessTokens(client, auth, "vertex", clock=clock)
    with pytest.raises(TargetUnavailable, match="400 invalid_grant") as raised:
        await tokens.take()
    assert raised.value.failure is Failure.CREDENTIALS
    whole = google.account(path, private_key_id=KEY_ID).read_bytes()
    path.write_bytes(whole[:50])
    clock.now += 1.5
    with pytest.raises(TargetUnavailable):
        await tokens.take()
    path.write_bytes(whole)
    clock.now += 1.5
    assert (await tokens.take()).startswith("ya29.")
