"""Law 13: of two registries on one database, the one that was superseded can change nothing."""

from __future__ import annotations

import asyncio
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from adapters.aliases import Peer
from adapters.errors import Superseded
from adapters.registry import Plan, Registry
from router.account.usage import UsageReport, UsageRow
from router.admin.usage import UsageQuestion
from router.budgets.authority import LeaseAsk, LeaseWish
from router.config.budgets import Window
from serving.config.settings import Settings
from serving.internal.reports import EngineReport, RouterReport
from serving.registry.accounts.book import LeaseBook
from serving.registry.accounts.database import open_database
from serving.registry.accounts.usage import UsageBook
from serving.registry.compose import RegistryProcess
from serving.registry.membership import TICK_S
from tests.fakes.tiny_adapter import BASE, tiny_adapter

ENGINE = EngineReport(
    peer=Peer(id="e1", url="http://127.0.0.1:1", secret="s"), base=BASE, max_model_len=64
)
ROUTER = RouterReport(peer=Peer(id="r1", url="http://127.0.0.1:1", secret="s"))
VERSIONS = "/admin/v1/adapters/returns/versions"
TAR = {"content-type": "application/x-tar"}
_THREADS = 4


class Writer:
    """Everything that one registry process writes to the database."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.registry = Registry.open(url)
        claim = self.registry.writing
        self._engine = open_database(url)
        self.leases = LeaseBook(self._engine, claim)
        self.usage = UsageBook(self._engine, claim)

    def receive(self, number: int) -> None:
        """A version arrives."""
        self.registry.receive(self.name, f"{number:012x}{0:052x}", plan=Plan(), by=self.name)

    def lease(self, number: int) -> None:
        """A router asks."""
        wish = LeaseWish(
            account='["b","usd",0]', window=Window.TOTAL, limit=10**9, spent=0, want=number
        )
        self.leases.lease(LeaseAsk(holder=f"{self.name}-{number}", number=1, wishes=(wish,)))

    def count(self, number: int) -> None:
        """A router counted."""
        row = UsageRow(hour=0, key="k", tenant="t", route="r", target=f"{number}", requests=1)
        self.usage.report(UsageReport(holder=self.name, rows=(row,)))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()
        self.registry.close()


@dataclass
class Load:
    """Several threads that write as fast as they can until they are refused."""

    write: Callable[[int], None]
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends it where nothing refuses."""
    done: list[float] = field(default_factory=list)
    """When each write that went through had returned."""
    refused: list[float] = field(default_factory=list)

    def run(self, first: int) -> None:
        """One thread's work; its numbers are its own."""
        for number in range(first, first + 100_000):
            if self.stop.is_set():
                return
            try:
                self.write(number)
            except Superseded:
                self.refused.append(time.monotonic())
                return
            self.done.append(time.monotonic())


@pytest.fixture
def writers(database_url: str) -> Iterator[Callable[[str], Writer]]:
    """Makes registry processes on one database."""
    made: list[Writer] = []

    def make(name: str) -> Writer:
        made.append(Writer(database_url, name))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


@pytest.mark.parametrize("what", ["receive", "lease", "count"])
def test_after_a_successors_claim_no_write_of_the_old_registry_goes_through(
    writers: Callable[[str], Writer], what: str
) -> None:
    """Under load: writes that were under way end before the claim does, later ones are refused."""
    old = writers("old")
    load = Load(getattr(old, what))
    with ThreadPoolExecutor(_THREADS) as threads:
        running = [threads.submit(load.run, 1 + i * 1_000_000) for i in range(_THREADS)]
        while len(load.done) <= 2 * _THREADS:
            time.sleep(0.01)
        new = writers("new")
        new.registry.claim()
        at_the_claim = written(new, what)
        time.sleep(0.1)
        after = written(new, what)
        wait(running, timeout=60)
        load.stop.set()
        for each in running:
            each.result(timeout=60)
    assert len(load.done) > _THREADS
    assert len(load.refused) == _THREADS
    assert after == at_the_claim == len(load.done)
    getattr(new, what)(7)
    assert written(new, what) == at_the_claim + 1


def written(writer: Writer, what: str) -> int:
    """How much of a kind is in the database."""
    if what == "receive":
        return len(writer.registry.versions())
    if what == "lease":
        return len(holders(writer))
    return sum(row["requests"] for row in writer.usage.ask(UsageQuestion(-1, 1, by=[])))


def holders(writer: Writer) -> list[str]:
    """Everybody who was granted something."""
    with writer._engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT holder FROM budget_leases")]


@pytest.mark.parametrize("what", ["receive", "lease", "count"])
def test_the_first_write_claims_and_reading_does_not(
    writers: Callable[[str], Writer], what: str
) -> None:
    """Forgetting to claim is no way round the fence; whoever only looks takes nothing away."""
    old, new = writers("old"), writers("new")
    getattr(old, what)(1)
    assert written(new, what) == 1
    old.registry.check_claim()
    new.registry.check_claim()
    getattr(old, what)(2)
    getattr(new, what)(3)
    with pytest.raises(Superseded, match="writer 2 took over from 1"):
        getattr(old, what)(4)
    assert written(new, what) == 3


def test_a_superseded_registry_knows_it_and_claims_anew_after_a_restart(
    writers: Callable[[str], Writer],
) -> None:
    """The last claim counts, whoever made it."""
    first, second, again = writers("first"), writers("second"), writers("again")
    first.receive(1)
    second.receive(2)
    with pytest.raises(Superseded):
        first.registry.check_claim()
    second.registry.check_claim()
    again.receive(3)
    with pytest.raises(Superseded, match="writer 3 took over from 2"):
        second.registry.check_claim()


def process(url: str, state: Path) -> RegistryProcess:
    """A registry as the deployment composes it."""
    adapters = {"database_url": url, "watch": {"enabled": False}}
    settings = {"state_dir": state, "adapters": adapters, "seed_adapters": None}
    return RegistryProcess(Settings.model_validate(settings))


async def test_a_registry_that_was_superseded_stops_and_says_so(
    database_url: str, tmp_path: Path
) -> None:
    """It hands out no table, works on nothing, refuses every change, and counts as healthy."""
    old = process(database_url, tmp_path / "old")
    await old.start(Peer(id="old", url="http://old", secret="s"))
    served = old.service.router_reported(ROUTER).table
    assert served is not None
    old.service.engine_reported(ENGINE)
    new = process(database_url, tmp_path / "new")
    await new.start(Peer(id="new", url="http://new", secret="s"))
    # It starts beside the old one, which serves: until an engine of its own is up, that goes on.
    await asyncio.sleep(2 * TICK_S)
    assert not old.service.superseded
    ask = LeaseAsk(holder="before", number=1, wishes=())
    assert (await lease(old, ask)).status_code == 200
    new.service.engine_reported(ENGINE)
    async with asyncio.timeout(60):
        while not old.service.superseded:  # noqa: ASYNC110 - it looks once a second
            await asyncio.sleep(0.05)
    assert old.service.router_reported(ROUTER).table is None
    old.service.check()
    transport = httpx.ASGITransport(old.surface)
    async with httpx.AsyncClient(transport=transport, base_url="http://old") as client:
        pushed = await client.post(VERSIONS, content=packed(tmp_path), headers=TAR)
        metrics = (await client.get("/metrics")).text
    leased = await lease(old, LeaseAsk(holder="after", number=1, wishes=()))
    assert (pushed.status_code, pushed.json()["error"]["code"]) == (503, "superseded")
    assert (leased.status_code, leased.json()["error"]["code"]) == (503, "superseded")
    assert "graftwork_registry_superseded 1.0" in metrics
    kinds = [event.kind for event in old.adapters.events.since(0)]
    assert kinds.count("registry-superseded") == 1
    successors = new.service.router_reported(ROUTER).table
    assert successors is not None
    assert successors.revision > served.revision
    await old.aclose()
    assert [job.status.name for job in new.service.jobs._jobs.values() if not job.alive] == []
    await new.aclose()


async def lease(registry: RegistryProcess, ask: LeaseAsk) -> httpx.Response:
    """As a router asks it."""
    transport = httpx.ASGITransport(registry.surface)
    async with httpx.AsyncClient(transport=transport, base_url="http://registry") as client:
        return await client.put("/internal/budgets/leases", content=ask.model_dump_json())


def packed(root: Path) -> bytes:
    """An adapter's directory as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(tiny_adapter(root / "adapter", 1), arcname="adapter")
    return buffer.getvalue()


def test_files_leave_the_store_before_a_successor_can_want_them(
    writers: Callable[[str], Writer],
) -> None:
    """A removal that has begun holds the claim until the files are gone, and none begins later."""
    old, new = writers("old"), writers("new")
    old.receive(1)
    steps: list[str] = []

    def remove() -> None:
        claiming.start()
        time.sleep(0.2)
        steps.append("removed")

    def claim() -> None:
        new.registry.claim()
        steps.append("claimed")

    claiming = threading.Thread(target=claim)
    old.registry.as_writer(remove)
    claiming.join(60)
    assert steps == ["removed", "claimed"]
    with pytest.raises(Superseded):
        old.registry.as_writer(steps.clear)
    assert steps
