"""What both sides of `make bench-swap` share: clients with known answers, and probes of a flip."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from benchmarks.api import QUESTIONS, Api, body

ALIAS = "swap"
SCALES = (1.0, 0.4)
"""How strong the two versions are; their answers differ."""
PROBE_EVERY_S = 0.025
AFTER_A_FAILURE_S = 0.1
_MOST_PROBES = 40
# Longer than one block of the KV cache (128 tokens on the CPU), so that a stale prefix shows.
POLICY = (
    "You are the support assistant of a shop that sells lamps, kettles, chairs and phones. Answer "
    "in one or two short sentences, kindly, and by the shop's own policy. The policy says: items "
    "may be returned within thirty days of delivery, with the receipt or the order number. Gold "
    "members have sixty days. Opened kettles and phones are inspected before a refund is paid. A "
    "refund goes to the card that was used, and takes five working days after the parcel arrives. "
    "Chairs are picked up at home for a fee of nine euros; lamps, kettles and phones are sent with "
    "the label that came in the parcel. Damaged items are exchanged at once, and a photo of the "
    "damage is enough. Orders that have not left the warehouse may be cancelled by the customer. "
    "Gift cards are neither returned nor exchanged. Do not promise what the policy does not say."
)


def call(model: str, question: str) -> dict[str, object]:
    """A request with the shared prefix."""
    made = body(model, question)
    made["messages"][0]["content"] = POLICY
    return made


async def known_answers(api: Api, name: str) -> dict[str, str]:
    """By question, what a version answers."""
    return {question: await api.text(call(name, question)) for question in QUESTIONS}


@dataclass(frozen=True)
class Given:
    """One answer that a client got."""

    sent: float
    answered: float
    version: str
    """The name that the answer carries."""
    question: str
    text: str


@dataclass
class Tally:
    """What the clients saw, over a time."""

    answers: list[Given] = field(default_factory=list)
    failed: Counter[int] = field(default_factory=Counter)
    """By status; 0 when there was no answer at all."""
    seconds: float = 0.0

    def wrong(self, known: dict[str, dict[str, str]]) -> list[Given]:
        """Answers that are not what the version that they name answers."""
        return [g for g in self.answers if known.get(g.version, {}).get(g.question) != g.text]


@asynccontextmanager
async def clients(api: Api, number: int) -> AsyncIterator[Tally]:
    """So many clients on the alias for the length of the block, each one request at a time."""
    tally, stop = Tally(), asyncio.Event()

    async def client(turn: int) -> None:
        while not stop.is_set():
            question = QUESTIONS[turn % len(QUESTIONS)]
            turn += 1
            sent = time.perf_counter()
            try:
                status, answer = await api.chat(call(ALIAS, question))
            except (aiohttp.ClientError, TimeoutError):
                status, answer = 0, {}
            if status != 200:
                tally.failed[status] += 1
                await asyncio.sleep(AFTER_A_FAILURE_S)
                continue
            text = answer["choices"][0]["message"]["content"]
            given = Given(sent, time.perf_counter(), answer["model"], question, text)
            tally.answers.append(given)

    started = time.perf_counter()
    tasks = [asyncio.create_task(client(turn)) for turn in range(number)]
    try:
        yield tally
    finally:
        tally.seconds = time.perf_counter() - started
        stop.set()
        await asyncio.gather(*tasks)


@dataclass(frozen=True)
class Flip:
    """How long a flip took, seconds since it was asked for."""

    applied: float
    """Server: from the commit until every router had said that it applies it."""
    answered: float
    """The admin call's own answer."""
    visible: float
    """The first request *sent* after which every request was decided for the new version."""


async def flip(api: Api, action: str, value: dict[str, str], wanted: str) -> Flip:
    """Ask for a flip while decisions are asked for every 25 ms, whatever the earlier ones take."""
    probes: list[tuple[float, str]] = []
    waiting: set[asyncio.Task[None]] = set()

    async def probe(sent: float) -> None:
        decision = await api.post("/v1/decision", call(ALIAS, QUESTIONS[0]))
        probes.append((sent, decision["target"]))

    async def probing() -> None:
        while True:
            if len(waiting) < _MOST_PROBES:
                task = asyncio.create_task(probe(time.perf_counter()))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            await asyncio.sleep(PROBE_EVERY_S)

    prober = asyncio.create_task(probing())
    await asyncio.sleep(4 * PROBE_EVERY_S)
    asked = time.perf_counter()
    answer = await api.post(f"/admin/v1/adapters/{ALIAS}/{action}", value)
    answered = time.perf_counter()
    await asyncio.sleep(8 * PROBE_EVERY_S)
    prober.cancel()
    while waiting:
        await asyncio.wait(waiting)
    others = [sent for sent, target in probes if target != f"adapter:{wanted}"]
    last_other = max(others, default=asked)
    after = [sent for sent, _ in probes if sent > max(last_other, asked)]
    return Flip(await _applied_in(api, answer["epoch"]), answered - asked, min(after) - asked)


async def _applied_in(api: Api, epoch: int) -> float:
    """What the server's own event says about the flip with this epoch."""
    async for event in api.events():
        if event["kind"] == "alias-changed" and event["epoch"] == epoch:
            return float(event["seconds"])
    raise RuntimeError(f"no event tells of epoch {epoch}")


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


def spread(values: list[float], unit: float, digits: int = 0) -> str:
    """Median and worst, in ``unit``s of a second."""
    middle, worst = statistics.median(values) * unit, max(values) * unit
    return f"{middle:.{digits}f} / {worst:.{digits}f}"
