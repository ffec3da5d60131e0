"""Routing tables of registries that follow each other: the newest one's always win."""

from __future__ import annotations

from pathlib import Path

from adapters.aliases import Peer, RoutingTable
from router.replicas.fair import FairLimits, FairQueues
from router.replicas.table import TableHolder
from serving.config.settings import Settings
from serving.internal.reports import RouterReport
from serving.registry.compose import RegistryProcess

PEER = Peer(id="registry", url="http://127.0.0.1:1", secret="s")


def registry(root: Path) -> RegistryProcess:
    """One that has nothing to watch or to seed."""
    adapters = {"watch": {"enabled": False}}
    settings = {"state_dir": root, "seed_adapters": None, "adapters": adapters}
    return RegistryProcess(Settings.model_validate(settings))


def said(revision: int) -> RouterReport:
    """A router's report."""
    return RouterReport(peer=Peer(id="r1", url="http://127.0.0.1:1", secret="s"), revision=revision)


async def test_a_successors_table_is_newer_whatever_the_clock_says(tmp_path: Path) -> None:
    """No clock is asked: the successor's claim makes its first table newer than any before."""
    first = registry(tmp_path)
    await first.start(PEER)
    for _ in range(5):
        await first.service.tables.refresh()
    old = first.service.tables.current
    await first.aclose()
    second = registry(tmp_path)
    await second.start(PEER)
    holder = TableHolder(FairQueues(FairLimits()))
    holder.apply(old)
    table = second.service.router_reported(said(old.revision)).table
    assert table is not None
    assert holder.apply(table)
    await second.aclose()


async def test_a_router_that_is_ahead_gets_a_table_that_it_takes(tmp_path: Path) -> None:
    """Its registry's database came back from a backup: what the router applies was never made."""
    found = registry(tmp_path)
    await found.start(PEER)
    ahead = RoutingTable(revision=found.service.tables.current.revision + 10**9)
    holder = TableHolder(FairQueues(FairLimits()))
    holder.apply(ahead)
    assert found.service.router_reported(said(ahead.revision)).table is None
    await found.service.tables.refresh()
    table = found.service.router_reported(said(ahead.revision)).table
    assert table is not None
    assert holder.apply(table)
    await found.aclose()
