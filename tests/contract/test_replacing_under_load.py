"""Versions are published, replaced and rolled back while clients ask: nobody notices."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.contract.client import chat, client, lines, move, push
from tests.fakes.whole_system import System

CLIENTS, VERSIONS = 4, 4


def test_no_request_fails_and_no_answer_is_of_two_versions(
    keyed: System, ops: httpx.Client
) -> None:
    """Whole or streamed, each answer is of one version that was live meanwhile."""
    published = [push(ops, "moving", 50)]
    over = threading.Event()

    def ask(number: int) -> Counter[str]:
        heard: Counter[str] = Counter()
        with client(keyed, "app") as http:
            while not over.is_set():
                stream = bool((number + heard.total()) % 2)
                answer = chat(http, "moving", stream=stream)
                assert answer.status_code == 200, answer.text
                said = _streamed(answer) if stream else _whole(answer)
                target = answer.headers["x-graftwork-target"]
                assert target == f"adapter:{said.removeprefix('I am ')}"
                heard[said.removeprefix("I am ")] += 1
        return heard

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask, number) for number in range(CLIENTS)]
        try:
            published += [push(ops, "moving", seed) for seed in range(51, 50 + VERSIONS)]
            assert move(ops, "moving", "rollback").status_code == 200
        finally:
            over.set()
        heard = sum((each.result() for each in asking), Counter())
    assert heard.total() > CLIENTS
    assert set(heard) <= {version.name for version in published}
    assert len(heard) > 1


def _whole(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def _streamed(answer: httpx.Response) -> str:
    events = [line for line in lines(answer.content) if line.data and line.data != "[DONE]"]
    pieces = [choice["delta"]["content"] for line in events for choice in line.json()["choices"]]
    return "".join(pieces)
