"""Laws 1 and 2, small: under load nobody fails and nobody gets the wrong weights."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import orjson
import pytest

from serving.embedded import ADAPTERS_DIR
from tests.system.client import chat, chat_body, move, push, resident, said, target
from tests.system.running import Running

pytestmark = pytest.mark.system

CLIENTS, FLIPS, BETWEEN_S = 8, 6, 1.0
ALIAS = "swap"
PROMPTS = [
    "How do I return a lamp?",
    "Can I get a refund for two chairs without the receipt?",
    "I want to exchange a blue mug that I bought last week.",
]


@dataclass(frozen=True)
class Answer:
    """What one request got."""

    prompt: str
    target: str
    models: frozenset[str]
    """Every name that the body gave for its model."""
    text: str


def whole(http: httpx.Client, model: str, prompt: str) -> Answer:
    """A whole answer."""
    response = chat(http, model, prompt)
    return Answer(prompt, target(response), frozenset({response.json()["model"]}), said(response))


def streamed(http: httpx.Client, model: str, prompt: str) -> Answer:
    """The same as a stream."""
    body = chat_body(model, prompt, stream=True)
    with http.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200, response.read()
        events = [line[6:] for line in response.iter_lines() if line.startswith("data: {")]
    chunks = [orjson.loads(event) for event in events]
    assert all("error" not in chunk for chunk in chunks)
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    return Answer(prompt, target(response), frozenset(chunk["model"] for chunk in chunks), text)


@pytest.fixture(scope="module")
def versions(system: Running) -> Iterator[tuple[str, str]]:
    """The names of two versions of one alias whose answers have nothing in common."""
    with httpx.Client(base_url=system.url, timeout=60, trust_env=False) as http:
        one, two = (push(http, ALIAS, ADAPTERS_DIR / each) for each in ("returns", "extract"))
        yield one["name"], two["name"]
        move(http, ALIAS, "retire")


def client(system: Running, number: int, stop: threading.Event) -> list[Answer]:
    """One client that asks until it is told to stop, half of the time as a stream."""
    answers = []
    with httpx.Client(base_url=system.url, timeout=60, trust_env=False) as http:
        for turn in itertools.count(number):
            ask = streamed if turn % 2 else whole
            answers.append(ask(http, ALIAS, PROMPTS[turn % len(PROMPTS)]))
            if stop.is_set():
                return answers
    return answers


def flip(http: httpx.Client, names: tuple[str, str]) -> list[float]:
    """Promote and roll back in turn; seconds of each flip, and each is seen by the next request."""
    seconds = []
    for turn in range(FLIPS):
        time.sleep(BETWEEN_S)
        wanted = names[turn % 2]
        started = time.monotonic()
        if turn % 2:
            answer = move(http, ALIAS, "rollback")
        else:
            answer = move(http, ALIAS, "promote", digest=wanted.partition("@")[2])
        seconds.append(time.monotonic() - started)
        assert answer["name"] == wanted
        assert target(chat(http, ALIAS, max_tokens=1)) == f"adapter:{wanted}"
    return seconds


def test_flips_under_load(system: Running, http: httpx.Client, versions: tuple[str, str]) -> None:
    """Every request that runs while versions flip gets one version's whole and right answer."""
    known = {
        (f"adapter:{name}", prompt): whole(http, name, prompt).text
        for name in versions
        for prompt in PROMPTS
    }
    assert not {known[f"adapter:{versions[0]}", p] for p in PROMPTS} & {
        known[f"adapter:{versions[1]}", p] for p in PROMPTS
    }
    stop = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client, system, number, stop) for number in range(CLIENTS)]
        try:
            flip(http, versions)
        finally:
            stop.set()
        answers = [answer for each in running for answer in each.result(60)]
    wrong = [a for a in answers if known[a.target, a.prompt] != a.text]
    assert not wrong, wrong[:3]
    assert all(a.models == {a.target.removeprefix("adapter:")} for a in answers)
    assert {a.target for a in answers} == {f"adapter:{name}" for name in versions}
    assert len(answers) > CLIENTS * 2


def test_stream_keeps_its_version(http: httpx.Client, versions: tuple[str, str]) -> None:
    """Law 1: a stream that began before a flip ends on the version that it began with."""
    body = chat_body(ALIAS, PROMPTS[0], stream=True, max_tokens=200, ignore_eos=True)
    with http.stream("POST", "/v1/chat/completions", json=body) as response:
        began = target(response).removeprefix("adapter:")
        lines = response.iter_lines()
        next(lines)
        move(http, ALIAS, "rollback")
        assert target(chat(http, ALIAS, max_tokens=1)) != f"adapter:{began}"
        rest = [line for line in lines if line.startswith("data: {")]
    assert len(rest) > 100
    assert {orjson.loads(line[6:])["model"] for line in rest} == {began}
    assert began in resident(http)


def test_base_beside_adapters(system: Running, versions: tuple[str, str]) -> None:
    """A request that shares its batch with adapters, all slots in use, is answered by its own."""
    models = ["base", "returns", "extract", *versions]

    def asked(number: int, count: int) -> list[tuple[str, str, str]]:
        with httpx.Client(base_url=system.url, timeout=60, trust_env=False) as http:
            turns = range(number, number + count)
            pairs = [(models[turn % len(models)], PROMPTS[turn % len(PROMPTS)]) for turn in turns]
            return [(model, prompt, whole(http, model, prompt).text) for model, prompt in pairs]

    everything = len(models) * len(PROMPTS)
    alone = {(model, prompt): text for model, prompt, text in asked(0, everything)}
    assert len(alone) == everything
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(asked, number, 8) for number in range(CLIENTS)]
        together = [answer for each in running for answer in each.result(60)]
    wrong = [each for each in together if alone[each[0], each[1]] != each[2]]
    assert not wrong, wrong[:3]
