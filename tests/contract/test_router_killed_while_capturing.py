"""A router dies alone, with exchanges on its disk that the registry has not acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from adapters.aliases import Peer
from adapters.corpus.delivery import from_line
from adapters.corpus.exchange import Exchange
from serving.router.capturing import SPOOLS
from tests.contract.client import ADMIN, chat, client, until
from tests.contract.conftest import router_args
from tests.fakes.frontier import FakeFrontier
from tests.fakes.router_alone import MODEL, RouterAlone
from tests.fakes.whole_system import System, whole_system

THINGS = ("lamp", "kettle", "chair", "river", "stamp", "garden", "letter", "window", "tent", "bike")
_AWAY_S = 60.0


@pytest.fixture
def system(tmp_path: Path, frontier: FakeFrontier) -> Iterator[System]:
    """The registry that lives on, and another router of the machine."""
    with whole_system(tmp_path, router_args(frontier), replicas=1) as running:
        yield running


@contextmanager
def away(system: System) -> Iterator[None]:
    """The registry answers nobody; what reached it meanwhile it does afterwards."""
    is_back = threading.Event()
    blocked = system.portal.start_task_soon(is_back.wait, _AWAY_S)
    try:
        yield
    finally:
        is_back.set()
        assert blocked.result(), "it came back before its time"


def spooled(root: Path) -> set[str]:
    """Decisions whose exchanges are on the disk, whole lines only."""
    found: set[str] = set()
    for path in (root / SPOOLS).glob("*/*.jsonl"):
        with suppress(FileNotFoundError):  # it was delivered just now
            whole, _, _torn = path.read_bytes().rpartition(b"\n")
            entries = [from_line(line) for line in whole.splitlines()]
            found |= {each.decision_id for each in entries if isinstance(each, Exchange)}
    return found


def kept(http: httpx.Client) -> dict[str, int]:
    """How often the corpus counts each exchange, by its decision."""
    answer = http.get(f"{ADMIN}/exchanges", params={"limit": "1000"})
    assert answer.status_code == 200, answer.text
    return {str(row["decision_id"]): int(row["count"]) for row in answer.json()["data"]}


def ask(router: RouterAlone, thing: str) -> str:
    """One exchange of somebody who consented; its decision."""
    with httpx.Client(base_url=router.url, timeout=30, trust_env=False) as http:
        answer = chat(http, MODEL, f"May I send back the {thing}?", user=f"buyer of the {thing}")
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-graftwork-decision-id"])


def known(system: System) -> Peer:
    """How routers reach the registry."""
    peer = system.registry.service.tables.current.registry
    assert peer is not None
    return peer


def killed(
    system: System, http: httpx.Client, provider: str, name: str, things: tuple[str, ...]
) -> set[str]:
    """One router's life, which ends with exchanges on its disk; what it was asked."""
    router = RouterAlone(system.root, provider, name, known(system))
    try:
        first = ask(router, things[0])
        until(lambda: first in kept(http), "the router knows the registry")
        with away(system):
            late = {ask(router, thing) for thing in things[1:]}
            until(lambda: late <= spooled(system.root), "what is on the disk")
            router.kill()
    finally:
        router.kill()
    return {first, *late}


def test_what_a_killed_router_had_captured_reaches_the_corpus_once(
    system: System, frontier: FakeFrontier
) -> None:
    """Its delivery was on its way: whoever takes it over delivers it again, and it counts once."""
    url = frontier.openai_url
    with client(system) as http:
        asked = killed(system, http, url, "first", THINGS[:5])
        asked |= killed(system, http, url, "second", THINGS[5:])
        heir = RouterAlone(system.root, url, "heir", known(system))
        try:
            until(lambda: asked <= kept(http).keys(), "every exchange", 60)
            until(lambda: not spooled(system.root), "the spools are empty", 60)
        finally:
            heir.stop()
        assert kept(http) == dict.fromkeys(asked, 1)
