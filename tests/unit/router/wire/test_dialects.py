"""A provider's API is one file: this test adds one, and a request goes through the whole router."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import web

from router.config.providers import ProviderConfig
from router.targets.base import Call
from router.wire import dialects
from router.wire.dialects import DIALECTS, found_in
from router.wire.dialects.base import Traits
from router.wire.endpoint import Endpoint
from tests.fakes.exchanges import table
from tests.fakes.router_process import router
from tests.fakes.streams import objects

ACME = '''
"""Acme's API: chat only, which it calls talk; its streams are named events until ``bye``."""

import re

from router.wire.dialects.base import Asked, Dialect, Translation
from router.wire.endpoint import Endpoint
from router.wire.events import DONE, Event, Events
from router.wire.formats.base import Format


class Talk(Format):
    """How Acme answers."""

    endpoint = Endpoint.CHAT
    last_event = re.compile(rb"^event: bye", re.MULTILINE)


class Words:
    """Acme's words as chunks of chat."""

    def feed(self, run):
        return Events.of(chunk for event in run for chunk in self._chunks(event))

    def _chunks(self, event):
        if event.name == "bye":
            end = {"index": 0, "delta": {}, "finish_reason": "stop"}
            yield Event.of({**HEAD, "choices": [end]})
            yield Event(DONE)
        else:
            delta = {"content": event.json["word"]}
            yield Event.of({**HEAD, "choices": [{"index": 0, "delta": delta}]})


HEAD = {"id": "acme", "object": "chat.completion.chunk", "created": 1, "model": "a"}


def whole(found):
    message = {"role": "assistant", "content": found["words"]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**HEAD, "object": "chat.completion", "choices": [choice]}


class Acme(Dialect):
    """Acme's API."""

    name = "acme"

    def url(self, base_url, endpoint):
        return base_url + "/talk"

    def headers(self):
        return {"acme-edition": "3"}

    def credentials(self, key):
        return {"acme-key": key}

    def endpoints(self, native):
        return native & {Endpoint.CHAT}

    def can_continue(self, endpoint, traits):
        return False

    def ask(self, call, traits):
        said = [message["content"] for message in call.body["messages"]]
        body = {"talk": said, "most": traits.max_output_tokens, "stream": call.stream}
        return Asked(Talk(), body, translation=Translation(Words(), whole))


DIALECT = Acme()
'''


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more file in the package, and nothing else."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "acme.py").write_text(ACME)
    monkeypatch.setattr(dialects, "__path__", [*dialects.__path__, str(folder)])
    found = found_in(dialects.__path__)
    monkeypatch.setattr(dialects, "DIALECTS", found)
    monkeypatch.setattr("router.config.providers.DIALECTS", found)
    yield
    sys.modules.pop("router.wire.dialects.acme", None)


@asynccontextmanager
async def acmes_server() -> AsyncIterator[tuple[str, list[Any]]]:
    """Acme itself; yields its URL, and what it was asked."""
    asked: list[Any] = []

    async def talk(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        asked.append((dict(request.headers), body))
        if not body["stream"]:
            return web.json_response({"words": "hello there", "usage": {"input_tokens": 1}})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in ("hello", " there"):
            await response.write(b'event: word\ndata: {"word":"' + word.encode() + b'"}\n\n')
        await response.write(b"event: bye\ndata: {}\n\n")
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_post("/talk", talk)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


@pytest.mark.usefixtures("acme")
async def test_adding_an_api_is_adding_a_file(tmp_path: Path) -> None:
    """It is configured by its name; URL, key, words, end and translation are the file's."""
    async with acmes_server() as (url, asked):
        price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}
        provider = {
            "name": "cloud",
            "dialect": "acme",
            "base_url": url,
            "api_key_env": "ACME",
            "models": [{"id": "a", "max_output_tokens": 7, **price}],
        }
        environ = {"ACME": "secret"}
        async with router(tmp_path, {"providers": [provider]}, table(), environ) as (http, _):
            asks = {"model": "cloud/a", "messages": [{"role": "user", "content": "hi"}]}
            answer = await http.post("/v1/chat/completions", json=asks)
            streamed = await http.post("/v1/chat/completions", json={**asks, "stream": True})
            other = await http.post("/v1/messages", json={**asks, "max_tokens": 3})
    assert answer.json()["choices"][0]["message"]["content"] == "hello there"
    chunks = [event for event in objects(streamed.content) if event]
    text = "".join(choice["delta"].get("content", "") for c in chunks for choice in c["choices"])
    assert text == "hello there"
    assert streamed.content.endswith(b"data: [DONE]\n\n")
    assert other.status_code == 400
    headers, body = asked[0]
    assert (headers["acme-key"], headers["acme-edition"]) == ("secret", "3")
    assert body == {"talk": ["hi"], "most": 7, "stream": False}
    assert len(asked) == 2


def test_an_unknown_api_is_refused_by_name() -> None:
    """With the names that there are."""
    with pytest.raises(ValueError, match="anthropic, azure, bedrock, gemini, openai, vertex, vllm"):
        ProviderConfig.model_validate(
            {
                "name": "x",
                "dialect": "acme",
                "base_url": "http://127.0.0.1:1",
                "models": [{"id": "a", "input_usd_per_mtok": 1, "output_usd_per_mtok": 1}],
            }
        )


def test_the_dialects_are_the_files() -> None:
    """Each file of the package is one, under its own name, but for what they share."""
    files = {path.stem for path in Path(dialects.__file__).parent.glob("*.py")}
    assert set(DIALECTS) == files - {"__init__", "base", "through_chat"}
    assert isinstance(DIALECTS, MappingProxyType)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("endpoint", Endpoint)
def test_every_dialect_has_every_answer(name: str, endpoint: Endpoint) -> None:
    """A URL for each endpoint, a place for the key, and whether it can go on."""
    dialect = DIALECTS[name]
    native = frozenset(Endpoint)
    assert dialect.url("http://127.0.0.1:1", endpoint).startswith("http://127.0.0.1:1/")
    assert "k" in "".join(dialect.credentials("k").values())
    assert dialect.can_continue(endpoint, Traits(native=native)) in (True, False)
    assert dialect.endpoints(native) <= native


@pytest.mark.parametrize("endpoint", [Endpoint.MESSAGES, Endpoint.RESPONSES])
def test_a_vllm_that_is_said_to_have_only_chat_is_asked_by_it(endpoint: Endpoint) -> None:
    """Older ones have neither of the two; one of which nothing is said has all."""
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    if endpoint is Endpoint.RESPONSES:
        body = {"model": "m", "input": "hi"}
    vllm, chat = DIALECTS["vllm"], frozenset({Endpoint.CHAT})
    assert endpoint in vllm.endpoints(chat)
    for native, wire in ((chat, Endpoint.CHAT), (frozenset({endpoint}), endpoint)):
        asked = vllm.ask(Call(endpoint, body, False, "r", 5.0), Traits(native=native))
        assert asked.wire.endpoint is wire
        assert (asked.translation is None) == (wire is endpoint)
    assert vllm.ask(Call(endpoint, body, False, "r", 5.0), Traits()).wire.endpoint is endpoint
