"""Clients at work while something breaks: they try again, and check what they are told."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from tests.system.client import chat, chat_body, said, target

CLIENTS = 4
PROMPTS = ["How do I return a lamp?", "Can I get my money back for a kettle?"]


def _client(
    url: str, alias: str, number: int, known: dict[str, str], stop: threading.Event
) -> list[str]:
    """Ask until told to stop, trying again after errors; returns what went wrong."""
    problems: list[str] = []
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for turn in itertools.count(number):
            if stop.is_set():
                break
            prompt = PROMPTS[turn % len(PROMPTS)]
            try:
                answer = client.post("/v1/chat/completions", json=chat_body(alias, prompt))
            except httpx.TransportError as error:
                problems.append(f"{type(error).__name__}")
                time.sleep(0.2)
                continue
            if answer.status_code != 200:
                problems.append(f"{answer.status_code} {answer.text[:200]}")
                time.sleep(0.2)
            elif target(answer).startswith("adapter:") and said(answer) != known[prompt]:
                problems.append(f"WRONG {said(answer)!r}")
    return problems


@contextmanager
def load(url: str, front: httpx.Client, alias: str) -> Iterator[list[Future[list[str]]]]:
    """Clients at work; their problems are complete when the block is over."""
    known = {prompt: said(chat(front, alias, prompt)) for prompt in PROMPTS}
    stop = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(_client, url, alias, n, known, stop) for n in range(CLIENTS)]
        try:
            time.sleep(0.5)
            yield clients
            time.sleep(1.0)
        finally:
            stop.set()


def problems(clients: list[Future[list[str]]]) -> list[str]:
    """Everything that went wrong for any client."""
    return [problem for each in clients for problem in each.result(60)]
