"""A frontier provider on loopback: a real HTTP server that speaks OpenAI's and Anthropic's APIs.

    with FakeFrontier() as frontier:
        frontier.misbehave(Fault(Kind.STATUS, status=429, retry_after="1"))
        ...  # point an OpenAI client at frontier.openai_url, an Anthropic one at frontier.url
        assert frontier.requests[0].body["model"] == "m"

It runs in a thread of its own with its own event loop, so synchronous tests and benchmarks can use
it too. ``python -m tests.fakes.frontier --port 0 --seconds 60`` runs it as a process; there, faults
come with the prompt (``[[fault:cut]]``) or by ``POST /fake/faults``. By default it answers at
once.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, ClassVar, Self

import orjson
from aiohttp import web

from tests.fakes.faults import Fault, Kind, fault_from_json, fault_in_prompt
from tests.fakes.frontier_answers import (
    CHAT,
    COMPLETIONS,
    CREATED,
    EMBEDDINGS,
    MESSAGES,
    RESPONSES,
    compose,
    prompt_of,
    whole,
)
from tests.fakes.frontier_faults import (
    WANTED,
    Wanted,
    amended,
    error_response,
    fail_early,
    fail_whole,
    headers_for,
    may_pass,
)
from tests.fakes.frontier_streams import streamed

MAX_BODY_BYTES = 64 * 1024 * 1024
REQUESTS_KEPT = 10_000
_JSON = "application/json"


@dataclass(frozen=True)
class Received:
    """A request that came.

    Attributes:
        path: its path.
        headers: by lower-case name.
        raw: the body's bytes.
        body: the body, decoded.
        at_s: when, by ``time.monotonic``.
    """

    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]
    at_s: float = field(default_factory=time.monotonic)


class FakeFrontier:
    """The server; a context manager.

    Args:
        port: where to listen; 0 chooses a free one.
        text: what it answers.
        delay_s: pause before each event of a stream, and before a whole answer, seconds.
        models: the models that it has; others are a 404. Empty: whatever is asked for.
        api_key: what requests must bring, as ``Authorization: Bearer`` or ``x-api-key``.
        cached_tokens: how many prompt tokens it says were cached.
        obeys: misbehave when the prompt says so.
        piece_chars: so much is in each event of a stream; None: a word.
    """

    paths: ClassVar[tuple[str, ...]] = (CHAT, COMPLETIONS, RESPONSES, MESSAGES, EMBEDDINGS)
    key_headers: ClassVar[tuple[str, ...]] = ("Authorization", "x-api-key")
    """Where a request's key may be."""
    event_type: ClassVar[str] = "text/event-stream; charset=utf-8"

    def __init__(
        self,
        *,
        port: int = 0,
        text: str = "Hello from the frontier.",
        delay_s: float = 0.0,
        models: tuple[str, ...] = (),
        api_key: str | None = None,
        cached_tokens: int = 0,
        obeys: bool = True,
        piece_chars: int | None = None,
    ) -> None:
        self.obeys = obeys
        self.piece_chars = piece_chars
        self.port = port
        self.text = text
        self.says: Callable[[dict[str, Any]], str] | None = None
        """What it answers to a body, in place of ``text``."""
        self.delay_s = delay_s
        self.models = models
        self.api_key = api_key
        self.cached_tokens = cached_tokens
        self.left = 0
        """How many clients left before their answer was complete."""
        self._received: deque[Received] = deque(maxlen=REQUESTS_KEPT)
        self._faults: deque[Fault] = deque()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    @property
    def url(self) -> str:
        """The base URL as Anthropic's SDK takes it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The base URL as OpenAI's SDK takes it."""
        return self.url + "/v1"

    @property
    def requests(self) -> list[Received]:
        """The requests that came, oldest first; the last ten thousand."""
        return list(self._received)

    def misbehave(self, *faults: Fault | Kind) -> None:
        """Let the next requests go wrong, one fault each."""
        self._faults.extend(f if isinstance(f, Fault) else Fault(f) for f in faults)

    def forget(self) -> None:
        """Forget the requests that came and the faults that are due."""
        self._received.clear()
        self._faults.clear()

    def endpoint(self, request: web.Request) -> str:
        """Which of the public endpoints a request's path stands for."""
        return request.path

    def streams(self, _request: web.Request, body: dict[str, Any]) -> bool:
        """Whether a stream is asked for."""
        return bool(body.get("stream"))

    def ping(self) -> bytes:
        """A piece of a stream that says nothing."""
        return b": still here\n\n"

    def prompt(self, body: dict[str, Any]) -> str:
        """The last words of the user."""
        return prompt_of(body)

    def key_of(self, request: web.Request) -> str:
        """The key that a request came with."""
        found = (request.headers.get(name, "") for name in self.key_headers)
        return next(filter(None, found), "").removeprefix("Bearer ")

    async def _start(self) -> None:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        for path in self.paths:
            app.router.add_post(path, self._infer)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/fake/faults", self._add_faults)
        app.router.add_get("/fake/requests", self._list_requests)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        self._runner = runner
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = orjson.loads(raw)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._received.append(Received(request.path, headers, raw, body))
        fault = self._faults.popleft() if self._faults else None
        if fault is None and self.obeys:
            fault = fault_in_prompt(self.prompt(body))
        if fault is not None:
            told = fault.message.replace("{key}", self.key_of(request))
            fault = replace(fault, message=told)
        is_other = fault is not None and fault.kind is Kind.OTHER_FORM
        streams = self.streams(request, body) is not is_other
        kind = self.event_type if streams else _JSON
        request[WANTED] = Wanted(self.endpoint(request), streams, kind, self.ping())
        try:
            return await self._answer(request, body, fault)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise

    async def _answer(
        self, request: web.Request, body: dict[str, Any], fault: Fault | None
    ) -> web.StreamResponse:
        path = request[WANTED].endpoint
        refusal = self._refusal(request, body)
        if refusal is not None:
            return refusal
        if fault is not None:
            early = await fail_early(request, fault)
            if early is not None:
                return early
        text = self.text if self.says is None else self.says(body)
        reply = compose(path, body, text, self.cached_tokens)
        if (size := self.piece_chars) is not None:
            cut = [reply.text[start : start + size] for start in range(0, len(reply.text), size)]
            reply = replace(reply, pieces=cut)
        if request[WANTED].streams:
            events = [amended(event, fault) for event in streamed(path, body, reply)]
            return await self._stream(request, events, fault)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        content = amended(orjson.dumps(whole(path, body, reply)), fault)
        if fault is None:
            return web.Response(body=content, content_type=_JSON)
        return await fail_whole(request, content, fault)

    def _refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if self.api_key is not None:
            brought = {request.headers.get(name, "") for name in self.key_headers}
            if self.api_key not in {each.removeprefix("Bearer ") for each in brought}:
                message = f"Incorrect API key provided: {self.key_of(request)[:6]}***"
                return error_response(request[WANTED].endpoint, 401, message, "invalid_api_key")
        if request[WANTED].endpoint == MESSAGES and _ends_in_space(body):
            message = "messages: final assistant content cannot end with trailing whitespace"
            return error_response(request[WANTED].endpoint, 400, message, None)
        if self.models and body.get("model") not in self.models:
            message = f"no model {body.get('model')}"
            return error_response(request[WANTED].endpoint, 404, message, "model_not_found")
        return None

    async def _stream(
        self, request: web.Request, events: list[bytes], fault: Fault | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers_for(request, fault))
        await response.prepare(request)
        for number, event in enumerate(events):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if fault is not None and not await may_pass(
                request, response, fault, number, event, last=number == len(events) - 1
            ):
                return response
            await response.write(event)
        await response.write_eof()
        return response

    async def _list_models(self, request: web.Request) -> web.Response:
        data = [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "fake"}
            for name in self.models
        ]
        return web.json_response({"object": "list", "data": data})

    async def _add_faults(self, request: web.Request) -> web.Response:
        self.misbehave(*(fault_from_json(found) for found in await request.json()))
        return web.json_response({"due": len(self._faults)})

    async def _list_requests(self, request: web.Request) -> web.Response:
        found = [{"path": r.path, "headers": r.headers, "body": r.body} for r in self._received]
        return web.json_response(found)


def _ends_in_space(body: dict[str, Any]) -> bool:
    last = body["messages"][-1]
    content = last["content"]
    said = content if isinstance(content, str) else content[-1].get("text", "")
    return last["role"] == "assistant" and bool(said[-1:].isspace())


def main() -> None:
    """Run as a process that ends by itself."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--text", default="Hello from the frontier.")
    options = parser.parse_args()
    with FakeFrontier(port=options.port, delay_s=options.delay_s, text=options.text) as frontier:
        print(frontier.url, flush=True)  # noqa: T201 - whoever started it waits for this line
        time.sleep(options.seconds)


if __name__ == "__main__":
    main()
