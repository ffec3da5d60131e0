"""How providers are reached: keys in turn, a proxy, other certificates; Azure's addresses."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from yarl import URL

from router.config.providers import ProviderConfig
from router.errors import TargetError, TargetUnavailable
from router.targets.base import Call
from router.targets.egress import Way
from router.targets.frontier import FrontierTarget, Provider, frontier_targets
from router.targets.http_client import HttpClient
from router.targets.keys import Keys
from router.targets.unsaid import Unsaid
from router.wire.endpoint import Endpoint
from tests.fakes.certificate import certificate
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.wire import body, wire

PRICE = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}


def call() -> Call:
    """A chat."""
    body = {"model": "big", "messages": [{"role": "user", "content": "hi"}]}
    return Call(Endpoint.CHAT, body, False, "req-1", 10.0)


async def answered(target: FrontierTarget) -> bytes:
    """A whole answer."""
    answer = await target.send(call())
    return b"".join([piece.raw async for piece in answer.chunks()])


def configured(url: str = "https://llm.example/v1", **more: Any) -> ProviderConfig:
    """One model of one provider."""
    raw = {"name": "cloud", "base_url": url, "models": [{"id": "big", **PRICE}], **more}
    return ProviderConfig.model_validate(raw)


class Clock:
    """Time as the test has it."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


# Keys


def test_keys_are_taken_in_turn_and_those_that_are_refused_rest(tmp_path: Path) -> None:
    """One that is limited comes back when its time is over, one that is refused after minutes."""
    path, clock = tmp_path / "keys", Clock()
    path.write_text("one\n\ntwo\nthree\n")
    keys = Keys(configured(api_key_file=path), {}, clock)
    assert {keys.take() for _ in range(3)} == {"one", "two", "three"}
    keys.limited("two", 5.0)
    keys.refused("three")
    assert {keys.take() for _ in range(6)} == {"one"}
    clock.now = 6.0
    assert {keys.take() for _ in range(6)} == {"one", "two"}
    keys.refused("one")
    keys.refused("two")
    assert not keys.has_another()
    assert keys.take() == "three"  # whose time is over first
    clock.now = 400.0
    assert {keys.take() for _ in range(6)} == {"one", "two", "three"}


def test_a_changed_file_is_taken_over_and_an_empty_one_is_not(tmp_path: Path) -> None:
    """Within a second; whoever writes it in two steps breaks nothing."""
    path, clock = tmp_path / "key", Clock()
    path.write_text("old")
    keys = Keys(configured(api_key_file=path), {}, clock)
    path.write_text("")
    clock.now = 2.0
    assert keys.take() == "old"
    path.write_text("new\n")
    clock.now = 4.0
    assert keys.take() == "new"
    path.unlink()
    clock.now = 6.0
    assert keys.take() == "new"


def test_the_only_key_is_used_whatever_was_said_of_it() -> None:
    """There is no other."""
    keys = Keys(configured(api_key_env="KEY"), {"KEY": "only"})
    keys.refused("only")
    assert keys.take() == "only"
    assert Keys(configured(), {}).take() is None


async def test_a_call_goes_on_with_the_next_key(tmp_path: Path) -> None:
    """The client notices nothing of a key that was taken back, or whose limits are used up."""
    path = tmp_path / "keys"
    path.write_text("gone\nlimited\ngood")
    with FakeFrontier() as frontier:
        async with HttpClient() as client:
            config = configured(frontier.openai_url, api_key_file=path)
            [target] = frontier_targets(client, [config]).values()
            limited = Fault(Kind.STATUS, status=429, retry_after="30")
            frontier.misbehave(Fault(Kind.STATUS, status=401), limited)
            answer = await target.send(call())
            assert b"".join([piece.raw async for piece in answer.chunks()])
            used = [each.headers["authorization"] for each in frontier.requests]
            assert len(set(used)) == 3
            frontier.forget()
            for _ in range(3):
                answer = await target.send(call())
                assert b"".join([piece.raw async for piece in answer.chunks()])
            again = {each.headers["authorization"] for each in frontier.requests}
            assert again == {used[-1]}


async def test_when_no_key_is_accepted_the_call_fails(tmp_path: Path) -> None:
    """After each was tried once, and without a word of any of them."""
    path = tmp_path / "keys"
    path.write_text("first-secret\nsecond-secret")
    with FakeFrontier() as frontier:
        async with HttpClient() as client:
            config = configured(frontier.openai_url, api_key_file=path)
            target = FrontierTarget(Provider(client, config), config.models[0])
            frontier.misbehave(*[Fault(Kind.STATUS, status=401)] * 5)
            with pytest.raises(TargetUnavailable) as raised:
                await target.send(call())
            assert len(frontier.requests) == 2
    assert "secret" not in str(raised.value)


def test_keys_are_taken_out_of_what_is_said() -> None:
    """Also the parts of one, and one that was changed while calls with it were under way."""
    unsaid = Unsaid()
    unsaid.add("AKIAEXAMPLE:the-secret:t")
    said = "the-secret of AKIAEXAMPLE, the-secret:t, t and new-secret"
    assert unsaid.without(said) == "[key] of [key], [key]:t, t and new-secret"
    unsaid.add("new-secret")
    assert unsaid.without(said) == "[key] of [key], [key]:t, t and [key]"
    for number in range(300):  # tokens come and go for ever
        unsaid.add(f"token-number-{number}")
    assert unsaid.without("new-secret, token-number-299") == "new-secret, [key]"


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@pytest.mark.parametrize("status", [200, 400, 413, 429, 500])
async def test_no_error_repeats_a_key(dialect: str, status: int) -> None:
    """Whatever the status, in what is counted as in what is answered."""
    with FakeFrontier() as frontier:
        async with HttpClient() as client:
            config = configured(frontier.url, dialect=dialect, api_key_env="K")
            [target] = frontier_targets(client, [config], {"K": "the-secret"}).values()
            kind = Kind.ERROR_IN_200 if status == 200 else Kind.STATUS
            fault = Fault(kind, status, "what is {key}?", "bad the-secret")
            frontier.misbehave(fault)
            with pytest.raises(TargetError) as raised:
                await answered(target)
            assert "what is [key]?" in raised.value.message
            assert "secret" not in repr(raised.value) + repr(vars(raised.value))


async def test_no_count_repeats_a_key() -> None:
    """The route beside Messages that counts is another way out."""
    refused = b'{"error": {"message": "the-secret is no key"}}'
    head = b"HTTP/1.1 401 No\r\nContent-Type: application/json\r\n"
    sent = head + b"Content-Length: %d\r\n\r\n%b" % (len(refused), refused)
    async with wire([sent]) as server, HttpClient() as client:
        config = configured(server.url, dialect="anthropic", api_key_env="K")
        [target] = frontier_targets(client, [config], {"K": "the-secret"}).values()
        with pytest.raises(TargetError) as raised:
            await target.count({"messages": []}, 30.0)
    assert raised.value.message.endswith("[key] is no key")


# The way out


@asynccontextmanager
async def proxy(
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n",
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A CONNECT proxy: its URL, and what it was asked."""
    asked: list[bytes] = []

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()

    under_way: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await connect(reader, writer)
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        writer.write(answer)
        await writer.drain()
        if b" 200 " not in answer:
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        inward, outward = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(pipe(reader, outward), pipe(inward, writer))
        finally:
            outward.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", asked
    finally:
        server.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def ask(client: HttpClient, url: str, way: Way) -> bytes:
    """What a server answers."""
    answer = await client.post(
        URL(url), {}, b"{}", target="t", connect_timeout_s=5, timeout_s=10, way=way
    )
    return await answer.error_body()


@pytest.mark.parametrize("tls", [False, True])
async def test_through_a_proxy(tmp_path: Path, tls: bool) -> None:
    """It is asked to connect, with credentials; what goes through it is the target's own TLS."""
    trusted, context = certificate(tmp_path, "localhost")
    secret = tmp_path / "proxy"
    secret.write_text("user:pass\n")
    async with (
        proxy() as (url, asked),
        wire([body(b"hello")], [body(b"again")], tls=context if tls else None) as server,
        HttpClient() as client,
    ):
        way = Way(url, secret, ca=trusted if tls else None)
        assert await ask(client, server.url, way) == b"hello"
        assert await ask(client, server.url, way) == b"again"
    assert len(asked) == 1  # the connection was kept
    assert asked[0].startswith(b"CONNECT ")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in asked[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"x" * 20_000,
    ],
)
async def test_a_proxy_that_does_not_connect(answer: bytes) -> None:
    """The target cannot be reached."""
    async with proxy(answer) as (url, _), HttpClient() as client:
        with pytest.raises(TargetUnavailable, match="cannot be reached"):
            await ask(client, "http://127.0.0.1:9/", Way(url))


async def test_who_calls_is_proven_by_a_certificate(tmp_path: Path) -> None:
    """A server that wants one refuses whoever has none, and so does a stranger's authority."""
    trusted, context = certificate(tmp_path, "localhost")
    ours, _ = certificate(tmp_path, "client")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ours)
    key = ours.with_suffix(".key")
    async with (
        wire([body(b"hello")], [body(b"never")], tls=context) as server,
        HttpClient() as client,
    ):
        known = Way(ca=trusted, certificate=ours, key=key)
        assert await ask(client, server.url, known) == b"hello"
        for way in (Way(ca=trusted), Way(certificate=ours, key=key)):
            with pytest.raises(TargetUnavailable):
                await ask(client, server.url, way)


def test_what_makes_no_sense_is_refused() -> None:
    """A key without a certificate, credentials in a URL, a version that an API does not have."""
    for egress in (
        {"client_key_file": "k"},
        {"proxy_credentials_file": "p"},
        {"proxy": "http://user:pass@proxy:1"},
        {"proxy": "socks5://proxy:1"},
    ):
        with pytest.raises(ValidationError):
            configured(egress=egress)
    with pytest.raises(ValidationError, match="has no api_version"):
        configured(api_version="2024-10-21")


# Azure


@pytest.mark.parametrize("suffix", ["", "/openai", "/openai/v1", "/"])
def test_where_azure_is(suffix: str) -> None:
    """However much of the path is configured; the older API names the deployment in it.

    But of Responses, as OpenAI's SDK has it: there it is only the body's model.
    """
    base = "https://acme.openai.azure.com"
    new = configured(base + suffix, dialect="azure")
    assert new.url(Endpoint.CHAT, "big") == f"{base}/openai/v1/chat/completions"
    old = configured(base + suffix, dialect="azure", api_version="2024-10-21")
    wanted = f"{base}/openai/deployments/my%2Fmodel/embeddings?api-version=2024-10-21"
    assert old.url(Endpoint.EMBEDDINGS, "my/model") == wanted
    wanted = f"{base}/openai/responses?api-version=2024-10-21"
    assert old.url(Endpoint.RESPONSES, "my/model") == wanted


async def test_azure_is_called_with_its_own_header() -> None:
    """A key in ``api-key``, at the deployment's place; a token of Entra ID is a bearer's."""
    async with wire([body(b'{"choices": []}')]) as server, HttpClient() as client:
        config = configured(server.url, dialect="azure", api_key_env="K", api_version="2024-10-21")
        [target] = frontier_targets(client, [config], {"K": "abc"}).values()
        answer = await target.send(call())
        assert b"".join([piece.raw async for piece in answer.chunks()])
        [head] = server.heads
    assert "POST /openai/deployments/big/chat/completions?api-version=2024-10-21 " in head
    assert "\r\napi-key: abc\r\n" in head
    assert config.api.credentials("eyJa.b.c") == {"Authorization": "Bearer eyJa.b.c"}
