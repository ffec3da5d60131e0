"""The loads, the requests they are made of, and one measurement of one gateway."""

from __future__ import annotations

import asyncio
import http.client
import json
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.gateway.peers import Server
from benchmarks.gateway.stand_in import ANSWER, PIECES, TOKENS
from benchmarks.gateway.table import Measured
from benchmarks.load import post, run
from benchmarks.processes import cpu_seconds

HOST: Final = "127.0.0.1"
_PATH: Final = "/v1/chat/completions"
_DONE: Final = b"data: [DONE]\n\n"
_ANSWER_S: Final = 30
_OK: Final = 200
_OBJECTS = ("lamp", "kettle", "chair", "jacket", "phone", "desk", "kayak", "tent", "blender", "rug")
_ASKS = (
    "How do I return the {} that I bought last week?",
    "Where is my order with the {}?",
    "Do you have a {} in stock in another colour?",
    "What discount do I get when I buy two of the {}?",
    "Write me a short poem about a {}.",
    "My {} arrived broken, and I would like my money back, please.",
    "Compare a {} with what people used in the nineteenth century.",
    "When does the shop that sells the {} open on Sundays?",
)


@dataclass(frozen=True)
class Case:
    """One load: ``rate`` requests a second over all clients, or as fast as it goes."""

    name: str
    clients: int
    rate: float | None = None
    stream: bool = False


CASES: Final = (
    Case("c=1", 1),
    Case("c=16, 40 req/s", 16, 40),
    Case("c=16, 150 req/s", 16, 150),
    Case("c=16, as fast as it goes", 16),
    Case("c=1, 32 tokens streamed", 1, stream=True),
    Case("c=16, 32 tokens streamed", 16, stream=True),
)


@dataclass(frozen=True)
class Gateway:
    """A running one.

    Attributes:
        port: where it listens.
        server: how it is asked.
        pid: its first process; None: what is measured is the provider itself.
    """

    port: int
    server: Server
    pid: int | None


class AnswersWrongly(Exception):
    """A gateway does not hand on what the provider said; the message has what came instead."""


def bodies(model: str, *, stream: bool) -> list[bytes]:
    """Different questions."""
    texts = [ask.format(thing) for thing in _OBJECTS for ask in _ASKS]
    rest: dict[str, Any] = {"max_tokens": TOKENS, "stream": True} if stream else {"max_tokens": 16}
    return [
        json.dumps(
            {"model": model, "messages": [{"role": "user", "content": text}], **rest}
        ).encode()
        for text in texts
    ]


def check(gateway: Gateway) -> None:
    """See that a whole answer and a stream arrive as the provider sent them.

    Raises:
        AnswersWrongly: one does not.
    """
    whole = json.loads(_asked(gateway, stream=False))
    if whole["choices"][0]["message"]["content"] != ANSWER:
        raise AnswersWrongly(f"a whole answer was {whole}")
    streamed = _asked(gateway, stream=True)
    if spoken(streamed) != "".join(PIECES) or not streamed.endswith(_DONE):
        raise AnswersWrongly(f"a stream was {streamed.decode(errors='replace')[-500:]}")


def spoken(stream: bytes) -> str:
    """The text of a stream's events."""
    events = (
        json.loads(line.removeprefix(b"data:"))
        for line in stream.splitlines()
        if line.startswith(b"data:") and b"[DONE]" not in line
    )
    deltas = (choice["delta"] for event in events for choice in event["choices"])
    return "".join(delta.get("content") or "" for delta in deltas)


def _asked(gateway: Gateway, *, stream: bool) -> bytes:
    headers = {"Content-Type": "application/json", **gateway.server.headers}
    body = bodies(gateway.server.model, stream=stream)[0]
    connection = http.client.HTTPConnection(HOST, gateway.port, timeout=_ANSWER_S)
    try:
        connection.request("POST", _PATH, body, headers)
        answer = connection.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise AnswersWrongly(str(error)) from error
    finally:
        connection.close()
    if answer.status != _OK:
        raise AnswersWrongly(f"{answer.status} {said.decode(errors='replace')[:300]}")
    return said


def measure(gateway: Gateway, case: Case, seconds: float) -> Measured:
    """Warm it, load it, and see what that cost."""
    loaded(gateway, case, min(1.0, seconds / 3))
    return loaded(gateway, case, seconds)


def loaded(gateway: Gateway, case: Case, seconds: float) -> Measured:
    """Load it, and see what that cost."""
    asked = bodies(gateway.server.model, stream=case.stream)
    headers = gateway.server.headers
    requests = [post(HOST, gateway.port, _PATH, body, headers) for body in asked]
    pace_s = case.clients / case.rate if case.rate else 0.0
    ending = _DONE if case.stream else b""
    load = run(HOST, gateway.port, requests, case.clients, seconds, pace_s, ending)
    before = _cpu_s(gateway)
    figures = asyncio.run(load)
    return Measured(figures, _cpu_s(gateway) - before)


def _cpu_s(gateway: Gateway) -> float:
    return 0.0 if gateway.pid is None else cpu_seconds(gateway.pid, lambda _: True)
