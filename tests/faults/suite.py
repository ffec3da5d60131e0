"""The fault suite: every way in which a provider can fail, against the whole router.

The providers are real HTTP servers on loopback (``tests/fakes/frontier.py``); the request goes in
at the door, through every stage. ``python -m benchmarks.faults`` prints the table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from adapters.aliases import RoutingTable
from router.wire.said import answer_text
from serving.config.settings import Settings
from serving.router.compose import RouterProcess
from tests.fakes.asgi_client import Reply, ask
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.streams import objects

TEXT = "One two three four five six seven."
WORDS = 7
DEADLINE_S = 15.0
ANSWERED = "answered"
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


@dataclass(frozen=True)
class Case:
    """One fault, and whether it is the request that is at fault."""

    name: str
    fault: Fault
    final: bool = False
    harmless: bool = False


def _status(name: str, status: int, **more: Any) -> Case:
    final = more.pop("final", False)
    return Case(name, Fault(Kind.STATUS, status=status, **more), final)


def _midway(name: str, kind: Kind) -> Case:
    return Case(name, Fault(kind, after=4))


CASES = (
    _status("500", 500),
    _status("503 without Retry-After", 503),
    _status("429 without Retry-After", 429),
    _status("429, Retry-After 0.2 s", 429, retry_after="0.2"),
    _status("429, Retry-After 60 s", 429, retry_after="60"),
    _status("429, account used up", 429, code="insufficient_quota"),
    _status("401, our key", 401, code="invalid_api_key"),
    _status("404, no such model", 404, code="model_not_found"),
    _status("400, prompt too long", 400, code="context_length_exceeded"),
    _status("400, request at fault", 400, code="bad", final=True),
    _status("400, refused by policy", 400, code="content_filter", final=True),
    Case("reset before any answer", Fault(Kind.RESET)),
    Case("closed before any answer", Fault(Kind.CLOSE)),
    Case("not HTTP", Fault(Kind.NOT_HTTP)),
    Case("redirect", Fault(Kind.REDIRECT)),
    Case("bad gzip", Fault(Kind.BAD_GZIP)),
    Case("web page with status 200", Fault(Kind.HTML)),
    Case("error object with status 200", Fault(Kind.ERROR_IN_200)),
    Case("empty body", Fault(Kind.EMPTY)),
    Case("hang before the headers", Fault(Kind.HANG_BEFORE_HEADERS)),
    Case("hang before the first token", Fault(Kind.HANG_BEFORE_FIRST_BYTE)),
    _midway("hang in the middle", Kind.HANG_MIDWAY),
    _midway("reset in the middle", Kind.CUT),
    _midway("reset inside an event", Kind.CUT_IN_EVENT),
    _midway("closed in the middle", Kind.BREAK_OFF),
    _midway("error event in the middle", Kind.ERROR_MIDWAY),
    _midway("half a JSON in the middle", Kind.MALFORMED),
    _midway("event without end", Kind.GIANT),
    _midway("comments for ever", Kind.PINGS),
    Case("no [DONE]", Fault(Kind.NO_END), harmless=True),
    Case("slow drip", Fault(Kind.SLOW_DRIP, delay_s=0.1), harmless=True),
    Case("slow start", Fault(Kind.SLOW_START, delay_s=0.3), harmless=True),
)


@dataclass(frozen=True)
class Row:
    """What came of one case."""

    case: Case
    path: str
    stream: bool
    fallback: bool
    outcome: str
    attempts: int
    rescued: bool
    seconds: float

    @property
    def is_right(self) -> bool:
        """In time, and answered wherever somebody could and might; else a well-formed error."""
        if self.seconds > DEADLINE_S + 3.0 or self.outcome.startswith("WRONG"):
            return False
        if self.case.final:
            return self.outcome.startswith("error") and self.attempts == 1
        if self.path == RESPONSES and self.stream and self.case.fault.kind is Kind.NO_END:
            # Only its last event says whether a response is whole: nobody may say it instead.
            return self.outcome.startswith("error")
        if self.fallback or self.case.harmless:
            return self.outcome == ANSWERED
        return True


class Bench:
    """Two providers, of which one does what the prompt says; and routers in front of them."""

    def __init__(
        self, bad: FakeFrontier, good: FakeFrontier, state: Path, timeout_s: float
    ) -> None:
        self._timeouts = dict.fromkeys(("first_token_s", "whole_answer_s", "idle_s"), timeout_s)
        self._bad = bad
        self._good = good
        self._state = state

    async def run(self, case: Case, *, stream: bool, fallback: bool, path: str = CHAT) -> Row:
        """One request through a router of its own, so that no breaker remembers another case."""
        process = RouterProcess(self._settings(fallback=fallback), "router-1", {})
        process.holder.apply(RoutingTable(revision=1, base_id="base"))  # there are no rules
        process.start()
        prompt = f"tell me [[{json.dumps(asdict(case.fault))}]]"
        said: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
        if path == RESPONSES:
            said = {"input": prompt, "store": False}
        body = {"model": "auto", **said, "stream": stream}
        started = time.perf_counter()
        try:
            reply = await ask(
                process.door, path, body, {"x-graftwork-timeout-ms": str(DEADLINE_S * 1000)}
            )
        finally:
            await process.aclose()
        seconds = time.perf_counter() - started
        tail = _comment(reply.body)
        attempts = int(tail.get("attempts", reply.headers.get("x-graftwork-attempts", "0")))
        rescued = bool(tail.get("rescued"))
        return Row(case, path, stream, fallback, judge(path, reply), attempts, rescued, seconds)

    def _settings(self, *, fallback: bool) -> Settings:
        providers = [_provider("bad", self._bad, price=0.1, window=1000)]
        if fallback:
            providers.append(_provider("good", self._good, price=1.0, window=100_000))
        router = {
            "providers": providers,
            "routing": {"frontiers": ["*"]},
            "delivery": {
                "timeouts": self._timeouts,
                "retry": {"backoff_s": 0.05},
                "max_answer_bytes": 1024 * 1024,
            },
        }
        return Settings.model_validate({"state_dir": self._state, "router": router})


def _provider(name: str, server: FakeFrontier, price: float, window: int) -> dict[str, Any]:
    model = {
        "id": "m",
        "context_window": window,
        "max_output_tokens": 100,
        "input_usd_per_mtok": price,
        "output_usd_per_mtok": price,
        "capabilities": ["chat", "responses", "prefill"],
    }
    return {"name": name, "base_url": server.openai_url, "models": [model]}


@contextmanager
def bench(state: Path, timeout_s: float) -> Iterator[Bench]:
    """The two providers, running; ``timeout_s`` for first token, whole answer and idle time."""
    with FakeFrontier(text=TEXT) as bad, FakeFrontier(text=TEXT, obeys=False) as good:
        yield Bench(bad, good, state, timeout_s)


def judge(path: str, reply: Reply) -> str:
    """``answered``, ``error <code>``, or what is wrong with it."""
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        how = _judge_response if path == RESPONSES else _judge_stream
        return how(reply.body)
    try:
        found = reply.json()
    except ValueError:
        return "WRONG: no JSON"
    if reply.status == 200:
        said = answer_text(reply.body, streamed=False)
        return ANSWERED if said == TEXT else f"WRONG: {said!r}"
    error = found.get("error") or {}
    if reply.status < 400 or not error.get("message") or not error.get("code"):
        return f"WRONG: status {reply.status} without an error"
    return f"error {error['code']}"


def _judge_stream(body: bytes) -> str:
    try:
        events = objects(body)
    except (ValueError, TypeError):
        return "WRONG: an event that is no JSON"
    if events.count(None) != 1 or events[-1] is not None:
        return "WRONG: not one [DONE] at the end"
    said = [event for event in events if event is not None]
    errors = [event["error"] for event in said if "error" in event]
    choices = [choice for event in said for choice in event.get("choices", [])]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    ends = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    if errors:
        proper = len(errors) == 1 and not ends and TEXT.startswith(text) and errors[0]["message"]
        return f"error {errors[0]['code']}" if proper else "WRONG: an error and an end"
    if len({(event["id"], event["model"], event["created"]) for event in said}) != 1:
        return "WRONG: several heads"
    if sum("role" in choice["delta"] for choice in choices) != 1:
        return "WRONG: several roles"
    return ANSWERED if text == TEXT and ends == ["stop"] else f"WRONG: {text!r}, {ends}"


def _judge_response(body: bytes) -> str:
    try:
        events = [event for event in objects(body) if event is not None]
    except (ValueError, TypeError):
        return "WRONG: an event that is no JSON"
    if [event["sequence_number"] for event in events] != list(range(len(events))):
        return "WRONG: numbers with a gap"
    kinds = [event["type"].removeprefix("response.") for event in events]
    if kinds[:3] != ["created", "output_item.added", "content_part.added"]:
        return "WRONG: no head"
    text = answer_text(body, streamed=True)
    ends = [kind for kind in kinds if kind in ("completed", "incomplete", "failed", "error")]
    if ends == ["error"] and kinds[-1] == "error":
        proper = TEXT.startswith(text) and events[-1]["message"]
        return f"error {events[-1]['code']}" if proper else "WRONG: an error and an end"
    if ends != ["completed"] or kinds[-1] != "completed":
        return f"WRONG: {ends} at the end"
    whole = events[-1]["response"]
    if whole["id"] != events[0]["response"]["id"] or len(kinds) != len(set(kinds)) + WORDS - 1:
        return "WRONG: several heads"
    told = [event["text"] for event in events if "text" in event]
    told.append(answer_text(orjson.dumps(whole), streamed=False))
    return ANSWERED if {text, *told} == {TEXT} else f"WRONG: {text!r}, {told}"


def _comment(body: bytes) -> dict[str, Any]:
    """The final comment of a stream."""
    _, mark, rest = body.rpartition(b": graftwork ")
    return dict(json.loads(rest.partition(b"\n")[0])) if mark else {}
