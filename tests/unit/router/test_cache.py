"""The response cache: only the very same request of the same caller, bounded, not for long."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.cache.key import CacheKey, cache_key, configuration_version, deterministic
from router.cache.responses import Replayed, Responses
from router.cache.store import Kept, ResponseStore
from router.config.auth import KeyScope
from router.config.cache import CacheConfig
from router.config.root import RouterConfig
from router.exchange import Exchange
from router.request import Caller, Hints, Option
from router.wire.endpoint import Endpoint, Usage
from router.wire.events import Body, Events
from tests.fakes.exchanges import exchange, put, table

BODY = {"model": "auto", "temperature": 0, "messages": [{"role": "user", "content": "hi"}]}
FACTS: dict[str, list[Any]] = {
    "tenant": ["shop", "bank"],
    "caller": ["app", "other"],
    "policy": ["v1", "v2"],
    "epoch": [1, 2],
    "base": ["tiny", "large"],
    "target": ["adapter:returns@111111111111", "adapter:returns@222222222222", "base"],
    "endpoint": [Endpoint.CHAT, Endpoint.RESPONSES],
    "stream": [False, True],
    "session": [None, "s1"],
    "max_cost": [None, 0.5],
    "version": [None, "2023-06-01"],
    "temperature": [0, 0.0, 1],
    "content": ["hi", "hi ", "ho"],
    "seed": [None, 1],
}
CHOICES = st.fixed_dictionaries({name: st.sampled_from(FACTS[name]) for name in FACTS})


def made(choice: dict[str, Any]) -> tuple[Exchange, str]:
    """An exchange with these facts, and the policy's version."""
    found = exchange(
        table=table(epoch=choice["epoch"], base_id=choice["base"]),
        endpoint=choice["endpoint"],
        caller=Caller(choice["caller"], choice["tenant"], frozenset(KeyScope)),
        headers={"anthropic-version": choice["version"]} if choice["version"] else {},
    )
    body = {
        "messages": [{"content": choice["content"], "role": "user"}],
        "temperature": choice["temperature"],
        "seed": choice["seed"],
    }
    put(
        found,
        stream=choice["stream"],
        hints=Hints(max_cost_usd=choice["max_cost"], session=choice["session"]),
        options=(Option(target=choice["target"], engine_name=choice["target"]),),
        body=body,
    )
    return found, choice["policy"]


@given(CHOICES, CHOICES)
def test_keys_differ_when_anything_differs(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two requests have one key exactly when tenant, caller, policy, target and all else agree."""
    same = all(one[name] == other[name] and type(one[name]) is type(other[name]) for name in FACTS)
    assert (cache_key(*made(one)) == cache_key(*made(other))) is same


def test_the_order_of_fields_does_not_matter() -> None:
    """A JSON object has no order."""
    first = {name: values[0] for name, values in FACTS.items()}
    one, policy = made(first)
    other, _ = made(first)
    put(other, body=dict(reversed(list(other.request.body.items()))))
    assert cache_key(one, policy) == cache_key(other, policy)


def test_another_configuration_is_another_policy() -> None:
    """Whatever is configured about the request path is part of the key."""
    assert configuration_version(RouterConfig()) == configuration_version(RouterConfig())
    other = RouterConfig.model_validate({"limits": {"request_timeout_s": 5}})
    assert configuration_version(RouterConfig()) != configuration_version(other)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0}, True),
        ({"temperature": 1}, False),
        ({"temperature": "0"}, False),
        ({"seed": 0}, True),
        ({}, False),
    ],
)
def test_only_who_asks_for_the_same_answer_gets_it(body: dict[str, Any], *, found: bool) -> None:
    """Temperature 0 or a seed."""
    asked = exchange()
    put(asked, body=body)
    assert deterministic(asked) is found


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def key(name: str) -> CacheKey:
    """A key."""
    return CacheKey("shop", "app", "base", name.encode())


def kept(size: int = 100) -> Kept:
    """An answer of so many bytes."""
    return Kept(200, "application/json", b"x" * size, Usage())


def test_answers_expire_and_the_least_used_make_room() -> None:
    """By time, then by use."""
    clock = Clock()
    store = ResponseStore(CacheConfig(ttl_s=10, max_bytes=2048), clock)
    for name in "abc":
        store.put(key(name), kept())
    assert store.get(key("a")) is not None
    store.put(key("d"), kept())
    assert store.get(key("b")) is None
    assert store.get(key("a")) is not None
    clock.now = 11
    assert store.get(key("a")) is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3000)), max_size=40))
def test_bytes_are_bounded(puts: list[tuple[str, int]]) -> None:
    """Whatever is put, the sum is right and within the limit (law 9)."""
    store = ResponseStore(CacheConfig(max_bytes=4096, max_answer_bytes=2500))
    for name, size in puts:
        store.put(key(name), kept(size))
        assert store.bytes == sum(entry.size for _, entry in store._kept.values()) <= 4096
        assert (store.get(key(name)) is not None) or size > 2500


async def answer_of(responses: Responses, asked: Exchange, *chunks: bytes, kind: str) -> None:
    """Let an answer pass through."""
    tap = responses.tap(asked, Replayed(Kept(200, kind, b"", Usage())))
    if tap is None:
        return
    if kind == "application/json":
        tap.hears(Body(b"".join(chunks)))
    else:
        for chunk in chunks:
            tap.hears(Events(chunk))
    tap.ends()


@pytest.mark.parametrize(
    ("kind", "chunks", "is_kept"),
    [
        ("application/json", (b'{"id":', b'"x"}'), True),
        ("application/json", (b'{"id":',), False),
        ("application/json", (b'{"error":{"message":"no"}}',), False),
        ("text/event-stream", (b'data: {"a":1}\n\n', b"data: [DONE]\n\n"), True),
        ("text/event-stream", (b'data: {"a":1}\n\n',), False),
        ("text/event-stream", (b'data: {"error":{}}\n\n', b"data: [DONE]\n\n"), False),
    ],
)
async def test_only_whole_answers_are_kept(
    kind: str, chunks: tuple[bytes, ...], *, is_kept: bool
) -> None:
    """What breaks off, or holds an error, is not given again; nor is another target's answer."""
    config = CacheConfig(enabled=True)
    choice = {name: values[0] for name, values in FACTS.items()}
    responses = Responses(config, "v1", ResponseStore(config))
    asked, _ = made(choice)
    assert responses.look(asked) is None
    await answer_of(responses, asked, *chunks, kind=kind)
    assert (responses.look(made(choice)[0]) is not None) is is_kept

    elsewhere = Responses(config, "v1", ResponseStore(config))
    asked, _ = made(choice)
    elsewhere.look(asked)
    assert asked.chosen is not None
    put(asked, chosen=dataclasses.replace(asked.chosen, target="base"))
    await answer_of(elsewhere, asked, *chunks, kind=kind)
    assert elsewhere.look(made(choice)[0]) is None


async def test_off_by_default() -> None:
    """Nothing is looked up, nothing kept."""
    responses = Responses(CacheConfig(), "v1", ResponseStore(CacheConfig()))
    asked, _ = made({name: values[0] for name, values in FACTS.items()})
    assert responses.look(asked) is None
    await answer_of(responses, asked, b"{}", kind="application/json")
    assert (asked.account.cache, len(responses.store)) == (None, 0)
