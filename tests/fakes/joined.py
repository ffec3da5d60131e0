"""A router of another process, of which the registry of a ``whole_system`` hears as of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.aliases import Peer
from serving.internal import paths
from serving.internal.client import InternalClient, Unanswered
from serving.internal.reports import RouterReport, RouterState
from tests.fakes.router_alone import RouterAlone
from tests.fakes.whole_system import System

_BEAT_S = 0.05
_ANSWER_S = 60.0


@contextmanager
def joined(system: System, router: RouterAlone) -> Iterator[None]:
    """Its heartbeats, as the deployment sends them, as long as it lives."""
    beating = system.portal.start_task_soon(_beat, system, router.peer)
    try:
        yield
    finally:
        beating.cancel()


async def _beat(system: System, peer: Peer) -> None:
    client = InternalClient()
    try:
        while True:
            said = await client.ask(peer, "GET", paths.STATE, timeout_s=_ANSWER_S)
            revision = RouterState.model_validate_json(said.body).revision
            reply = system.registry.service.router_reported(
                RouterReport(peer=peer, revision=revision)
            )
            if reply.table is not None:
                await client.ask(peer, "PUT", paths.TABLE, reply.table, timeout_s=_ANSWER_S)
            await asyncio.sleep(_BEAT_S)
    except Unanswered:
        return  # the dead send no heartbeats
    finally:
        await client.aclose()
