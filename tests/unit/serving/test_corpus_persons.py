"""A router on another machine hashes persons as the registry does, once it has asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.aliases import RoutingTable
from adapters.corpus.exchanges import Exchanges
from adapters.flywheel.database import FlywheelStore
from router.replicas.fair import FairLimits, FairQueues
from router.replicas.table import TableHolder
from router.wire.table import ResourceApp
from serving.config.settings import Settings
from serving.internal.client import InternalClient
from serving.internal.server import InternalServer
from serving.registry import capturing
from serving.registry.redacting import Redaction
from serving.router.persons import CorpusPersons
from tests.fakes.corpus import at_once


def test_the_registrys_key_is_asked_for_until_it_comes(tmp_path: Path) -> None:
    """Before that nothing is hashed, and nobody guesses."""
    store = FlywheelStore.open(f"sqlite:///{tmp_path / 'flywheel.db'}", at_once)
    redaction = Redaction(Settings(state_dir=tmp_path / "registry"))

    async def run() -> None:
        server, client = InternalServer("127.0.0.1"), InternalClient()
        await server.start(ResourceApp(capturing.routes(Exchanges(store), redaction)))
        holder = TableHolder(FairQueues(FairLimits()), lambda _: None)
        persons = CorpusPersons(holder, client)
        try:
            with pytest.raises(OSError, match="not said yet"):
                persons.hash("maria")
            waiting = asyncio.create_task(persons.known())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            holder.apply(RoutingTable(revision=1, base_id="b", registry=server.peer("registry")))
            await asyncio.wait_for(waiting, 60)
            assert persons.hash("maria") == redaction.hashed("maria")
        finally:
            await client.aclose()
            await server.stop()

    try:
        asyncio.run(run())
    finally:
        store.close()
