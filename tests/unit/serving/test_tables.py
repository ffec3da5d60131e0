"""Routing tables of registries that follow each other: the newest one's always win."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from adapters.aliases import Peer, RoutingTable
from adapters.registry import Plan
from adapters.registry.lifecycle import State
from router.replicas.fair import FairLimits, FairQueues
from router.replicas.table import TableHolder
from serving.config.settings import Settings
from serving.internal.reports import EngineReport, RouterReport
from serving.registry.compose import RegistryProcess
from tests.fakes.tiny_adapter import BASE

PEER = Peer(id="registry", url="http://127.0.0.1:1", secret="s")


def registry(root: Path) -> RegistryProcess:
    """One that has nothing to watch or to seed."""
    adapters = {"watch": {"enabled": False}}
    settings = {"state_dir": root, "seed_adapters": None, "adapters": adapters}
    return RegistryProcess(Settings.model_validate(settings))


def said(revision: int) -> RouterReport:
    """A router's report."""
    return RouterReport(peer=Peer(id="r1", url="http://127.0.0.1:1", secret="s"), revision=revision)


async def test_a_successors_table_is_newer_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No clock is asked: the successor's claim makes its first table newer than any before."""
    now_ns = time.time_ns()
    first = registry(tmp_path)
    first.adapters.registry.claim()
    await first.start(PEER)
    for _ in range(5):
        await first.service.tables.refresh()
    old = first.service.tables.current
    await first.aclose()
    # The successor's machine is a day behind.
    behind_ns = now_ns - 86_400 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: behind_ns)
    monkeypatch.setattr(time, "time", lambda: behind_ns / 1e9)
    second = registry(tmp_path)
    second.adapters.registry.claim()
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


async def test_the_bases_name_outlives_a_restart_without_engines(tmp_path: Path) -> None:
    """Scaled to zero, and the registry is restarted: clients still find the base in the list."""
    first = registry(tmp_path)
    await first.start(PEER)
    engine = Peer(id="e1", url="http://127.0.0.1:1", secret="s")
    first.service.engine_reported(EngineReport(peer=engine, base=BASE, max_model_len=64))
    async with asyncio.timeout(60):
        while first.adapters.registry.snapshot().base_id != BASE.base_id:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await first.aclose()
    second = registry(tmp_path)
    await second.start(PEER)
    table = second.service.tables.current
    assert (table.base_id, table.replicas) == (BASE.base_id, ())
    assert second.service.membership.base() is None
    await second.aclose()


async def test_a_change_that_was_never_announced_reaches_the_table(tmp_path: Path) -> None:
    """Who made it was cut off between the commit and the announcement."""
    found = registry(tmp_path)
    await found.start(PEER)
    rows, digest = found.adapters.registry, "a" * 64
    rows.receive("returns", digest, plan=Plan(), by="test")
    for state in (State.CHECKED, State.STORED, State.PREPARING, State.PREPARED):
        rows.move("returns", digest, state, by="test")
    epoch = rows.commit("returns", digest, by="test")
    async with asyncio.timeout(60):
        while found.service.tables.current.epoch < epoch:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert found.service.tables.current.aliases["returns"].live == digest
    await found.aclose()
