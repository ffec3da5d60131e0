"""The send stage on its own, in front of real HTTP stand-ins: any options, no choice before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from adapters.aliases import Replica, RoutingTable
from router.config.delivery import DeliveryConfig, TimeoutsConfig
from router.config.limits import LimitsConfig
from router.config.providers import Capability, ModelCard, ProviderConfig
from router.context.stage import own_words
from router.exchange import Exchange
from router.replicas.fair import FairLimits, FairQueues
from router.replicas.table import TableHolder
from router.request import Decision, Hints, Option, Request
from router.send import Sender
from router.targets.directory import Catalog
from router.targets.frontier import frontier_targets
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint
from tests.fakes.exchanges import BASE_ID
from tests.fakes.frontier import FakeFrontier

QUICK = DeliveryConfig.model_validate(
    {
        "retry": {"backoff_s": 0.01, "backoff_max_s": 0.02},
    }
)
"""Short pauses; the usual, long timeouts, which a slow machine keeps."""
IMPATIENT = QUICK.model_copy(
    update={"timeouts": TimeoutsConfig(first_token_s=2, whole_answer_s=2, idle_s=2)}
)
"""For targets that hang: as short as a slow machine can bear."""
BASE = Option("base", BASE_ID)


def frontier(name: str, *, allowed: bool = True) -> Option:
    """The one model of a provider."""
    return Option(f"frontier:{name}/m", allowed=allowed)


def provider(name: str, url: str, **changes: Any) -> ProviderConfig:
    """A provider with one model, ``m``, that can do everything."""
    dialect = changes.get("dialect", "openai")
    window = changes.pop("context_window", 128_000)
    card = ModelCard(
        id="m",
        context_window=window,
        input_usd_per_mtok=1.0,
        output_usd_per_mtok=2.0,
        capabilities=frozenset(Capability) - {Capability.MESSAGES}
        if dialect == "openai"
        else frozenset({Capability.MESSAGES, Capability.PREFILL}),
    )
    base = url if dialect == "anthropic" else url + "/v1"
    return ProviderConfig(name=name, base_url=base, models=(card,), **changes)


class Desk:
    """A sender, and requests for it."""

    def __init__(self, sender: Sender, holder: TableHolder) -> None:
        self.sender = sender
        self.holder = holder

    def exchange(
        self,
        *options: Option,
        text: str = "hi",
        stream: bool = False,
        endpoint: Endpoint = Endpoint.CHAT,
        timeout_s: float | None = None,
        **body: Any,
    ) -> Exchange:
        """A request that these options may answer, in this order."""
        said: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
        if endpoint is Endpoint.COMPLETIONS:
            said = {"prompt": text}
        if endpoint is Endpoint.RESPONSES:
            said = {"input": text}
        request = Request(
            "req_1",
            "dec_1",
            endpoint,
            {},
            body={**said, **body, **({"stream": True} if stream else {})},
            stream=stream,
            hints=Hints(timeout_s=timeout_s),
        )
        found = Exchange(request, Decision(self.holder.current, options=options))

        async def made(option: Option) -> dict[str, Any]:
            return own_words(request, option)

        found.delivery.sends(made)
        return found

    async def answer(self, exchange: Exchange) -> bytes:
        """Send, read to the end, close. Raises what the stage raises."""
        answer = await self.sender.send(exchange)
        exchange.account.answers(answer.usage)
        try:
            return b"".join([chunk.raw async for chunk in answer.chunks()])
        finally:
            await answer.aclose()


@asynccontextmanager
async def desk(
    providers: Mapping[str, FakeFrontier | ProviderConfig],
    replicas: Sequence[FakeFrontier] = (),
    config: DeliveryConfig = QUICK,
    limits: LimitsConfig | None = None,
    **table: Any,
) -> AsyncIterator[Desk]:
    """A send stage; replicas are named ``r0``, ``r1``, … and hold the base."""
    configs = [
        each if isinstance(each, ProviderConfig) else provider(name, each.url)
        for name, each in providers.items()
    ]
    async with HttpClient() as client:
        holder = TableHolder(FairQueues(FairLimits()))
        places = tuple(
            Replica(id=f"r{n}", url=each.url, secret="s") for n, each in enumerate(replicas)
        )
        holder.apply(RoutingTable(revision=1, base_id=BASE_ID, replicas=places, **table))
        catalog = Catalog(client, frontier_targets(client, configs, {}))
        bounds = limits or LimitsConfig(request_timeout_s=20.0)
        yield Desk(Sender(catalog, holder, bounds, config), holder)


async def until(fact: Any) -> None:
    """Wait until ``fact()`` is true; a server in another thread has no event to wait for."""
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
