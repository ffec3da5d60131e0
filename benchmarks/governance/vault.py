"""The vault: what keeping values from a target costs, and putting them back into its answer.

    python -m benchmarks.governance.vault

CPU time of one process, medians; names are not looked for here (`benchmarks.governance.pii`).
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial

import orjson

from router.config.auth import KeyScope
from router.config.governance import GovernanceConfig
from router.govern.detect.patterns import Patterns
from router.govern.governance import Governance
from router.govern.scan import Detectors
from router.govern.vault.restoring import Restoring
from router.govern.vault.vault import Vault
from router.prepare import parse
from router.request import Caller, Option, Request
from router.wire.endpoint import Endpoint
from router.wire.events import Event, Events

REPEATS = 200
_CHARS_OF_500_TOKENS = 2000
_SAID = "Please summarise the complaint about a parcel that arrived late and broken. " * 30
_VALUES = " Write to ann@example.org or +44 20 7946 0958, IBAN DE89370400440532013000."
LOCAL, FRONTIER = Option("base", "tiny"), Option("frontier:cloud/big")


def asked(turns: int, number: int, values: str) -> Request:
    """A conversation of turns of 500 tokens each; no two numbers have a text in common."""
    texts = [f"{number}-{turn} {_SAID[:_CHARS_OF_500_TOKENS]}{values}" for turn in range(turns)]
    roles = ("user", "assistant")
    messages = [{"role": roles[turn % 2], "content": text} for turn, text in enumerate(texts)]
    caller = Caller("key", "acme", frozenset({KeyScope.INFERENCE}))
    request = Request("r", "d", Endpoint.CHAT, {}, caller=caller)
    return parse(request, orjson.dumps({"model": "m", "messages": messages}))


async def _cpu_ms(work: Callable[[], Awaitable[object]]) -> float:
    began = time.process_time()
    await work()
    return (time.process_time() - began) * 1000


async def _requests(turns: int, values: str) -> None:
    governed = Governance(GovernanceConfig(), Detectors(Patterns()), lambda _: "0" * 32)
    new, again, local, frontier = [], [], [], []
    for number in range(REPEATS // turns):
        request = asked(turns, number, values)
        new.append(await _cpu_ms(partial(governed.inbound, request)))
        again.append(await _cpu_ms(partial(governed.inbound, request)))
        request = await governed.inbound(request)
        guard, body = governed.guard(request), request.body
        local.append(await _cpu_ms(partial(guard.outgoing, LOCAL, body)))
        frontier.append(await _cpu_ms(partial(guard.outgoing, FRONTIER, body)))
    times = " | ".join(f"{statistics.median(each):.3f}" for each in (new, again, local, frontier))
    print(f"| {turns} | {'yes' if values else 'no'} | {times} |")


def _per_event_us() -> float:
    vault = Vault([])
    vault.placeholder("EMAIL", "ann@example.org")
    said = ("You may write to [EMAIL_1] at any time , and ask for more . " * 4).split()
    events = [
        Event.of({"id": "x", "choices": [{"index": 0, "delta": {"content": f"{word} "}}]}).raw
        for word in said
    ]
    times = []
    for _ in range(REPEATS):
        restoring = Restoring(vault, is_json=False)
        began = time.process_time()
        for raw in events:
            restoring.feed(Events(raw))
        restoring.end()
        times.append((time.process_time() - began) / len(events) * 1e6)
    return statistics.median(times)


def main() -> None:
    """Print both tables."""
    print("| turns of 500 tokens | values | in: new ms | in: again ms | local ms | frontier ms |")
    print("|---:|---|---:|---:|---:|---:|")
    for turns in (1, 10):
        for values in ("", _VALUES):
            asyncio.run(_requests(turns, values))
    print(f"\nOne event of a stream whose answer gets its values back: {_per_event_us():.1f} µs")


if __name__ == "__main__":
    main()
