"""A whole Graftwork in one process: registry, router and engine replicas, wired as the deployments
wire them, over loopback HTTP. Ray is missing, and what answers for a model is a fake.

    with whole_system(tmp_path, providers=[…]) as system:
        httpx.get(f"{system.url}/v1/models")
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from anyio.from_thread import BlockingPortal

from adapters.distill.job import Trainer
from serving.config.settings import Settings
from serving.content import open_content
from serving.engine.slots import Slots
from serving.engine.staging import Stager
from serving.engine.surface import EngineSurface
from serving.internal.reports import EngineReport, RouterReport
from serving.internal.server import InternalServer
from serving.registry.compose import RegistryProcess
from serving.registry.service import RegistryService
from serving.router.compose import RouterProcess
from tests.fakes.admin_server import in_thread
from tests.fakes.running_router import served
from tests.fakes.talking_engine import TalkingEngine
from tests.fakes.tiny_adapter import BASE

_BEAT_S = 0.05
_QUICK = {
    "stagger_s": 0.0,
    "drain_poll_s": 0.01,
    "drain_settle_s": 0.0,
    "drain_timeout_s": 1.0,
    "reconcile_s": 0.2,
    "replicas_timeout_s": 20.0,
}
_LOOPBACK = "127.0.0.1"
_Start = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class System:
    """What is running.

    Attributes:
        url: of the router's door.
        root: where the state is.
        engines: what answers in each engine replica, by its identity.
        registry: its process, whose rooms a test may fill; ``portal`` calls on its event loop.
        starts: brings up one more engine replica, by its identity, until it is ready.
    """

    url: str
    root: Path
    engines: Mapping[str, TalkingEngine]
    portal: BlockingPortal
    registry: RegistryProcess
    starts: Callable[[str], None]

    def asked(self) -> list[str]:
        """The models that were asked for on engines, in no order across replicas."""
        return [
            str(body.get("model"))
            for engine in self.engines.values()
            for path, body in engine.requests
            if path.startswith("/v1/")
        ]

    def forget(self) -> None:
        """Forget what engines were asked, and what they were told to say."""
        for engine in self.engines.values():
            engine.requests.clear()
            engine.says.clear()


@contextmanager
def whole_system(
    root: Path,
    router: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    replicas: int = 2,
    trainer: Trainer | None = None,
    **args: Any,
) -> Iterator[System]:
    """Bring everything up in another thread; ``args`` are the deploy file's, ``router`` in them.

    With 0 ``replicas`` no engine is up until the test starts one.
    """
    given = {"state_dir": str(root), "router": dict(router or {}), **args}
    given["adapters"] = {"rollout": _QUICK, **given.get("adapters", {})}
    settings = Settings.model_validate(given)
    # Its log lines are no output of the commands that tests run in this process.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    running = _running(settings, environ or {}, replicas, trainer)
    with in_thread(running) as ((url, engines, registry, start), portal):
        yield System(
            url, root, engines, portal, registry, lambda identity: portal.call(start, identity)
        )


@asynccontextmanager
async def _running(
    settings: Settings, environ: Mapping[str, str], replicas: int, trainer: Trainer | None
) -> AsyncIterator[tuple[str, dict[str, TalkingEngine], RegistryProcess, _Start]]:
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(_registry(settings, trainer))
        service = registry.service
        engines: dict[str, TalkingEngine] = {}

        async def start(name: str) -> None:
            engines[name] = await stack.enter_async_context(_engine(settings, service, name))

        for number in range(1, replicas + 1):
            await start(f"engine-{number}")
        router = _router(settings, service, environ, knows_engine=replicas > 0)
        yield await stack.enter_async_context(router), engines, registry, start


@asynccontextmanager
async def _registry(settings: Settings, trainer: Trainer | None) -> AsyncIterator[RegistryProcess]:
    process = RegistryProcess(settings, trainer)
    server = InternalServer(_LOOPBACK)
    await server.start(process.surface)
    await process.start(server.peer("registry"))
    try:
        yield process
    finally:
        await process.aclose()
        await server.stop()


@asynccontextmanager
async def _engine(
    settings: Settings, service: RegistryService, identity: str
) -> AsyncIterator[TalkingEngine]:
    engine = TalkingEngine(BASE.base_id)
    stager, slots = Stager(open_content(settings)), Slots(settings.engine.max_loras)
    surface = EngineSurface(engine, stager, slots)
    server = InternalServer(_LOOPBACK)
    await server.start(surface)
    ready = asyncio.Event()

    async def report() -> None:
        held = await surface.residency()
        said = EngineReport(
            peer=server.peer(identity),
            base=BASE,
            max_model_len=engine.max_model_len,
            ready=ready.is_set(),
            resident=held.resident,
            answer=held.answer,
            in_flight=surface.in_flight,
        )
        if service.engine_reported(said):
            ready.set()

    try:
        async with _beating(report):
            await asyncio.wait_for(ready.wait(), 60)
            yield engine
    finally:
        await server.stop()


@asynccontextmanager
async def _router(
    settings: Settings, service: RegistryService, environ: Mapping[str, str], *, knows_engine: bool
) -> AsyncIterator[str]:
    router = RouterProcess(settings, "router-1", environ)
    server = InternalServer(_LOOPBACK)
    await server.start(router.surface)
    router.start()

    async def report() -> None:
        current = router.holder.current
        said = RouterReport(
            peer=server.peer("router-1"),
            revision=current.revision,
            knows=frozenset(replica.id for replica in current.replicas if replica.ready),
        )
        reply = service.router_reported(said)
        if reply.table is not None:
            router.holder.apply(reply.table)

    try:
        async with _beating(report), served(router.door) as url:
            async with asyncio.timeout(60):
                while knows_engine and not router.has_engine():  # noqa: ASYNC110 - a table comes with a beat
                    await asyncio.sleep(_BEAT_S)
            yield url
    finally:
        await server.stop()
        await router.aclose()


@asynccontextmanager
async def _beating(report: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Have a process report once, and then in the background."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            await report()

    await report()
    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
