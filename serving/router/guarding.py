"""The router's safety checks, wired: the packaged classifier, and a guard behind a provider."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from router.config.providers import ModelCard
from router.config.root import RouterConfig
from router.config.safety import GuardConfig
from router.embed.encoder import BgeSmall
from router.embed.layers import Layers
from router.embed.threads import Threads
from router.errors import TargetBroken
from router.govern.governance import Governance
from router.govern.safety.guard import Guard
from router.govern.safety.local import Classifier, ClassifierModels
from router.govern.safety.metrics import SafetyMetrics
from router.govern.safety.rules import InjectionRules
from router.govern.safety.stage import Safety
from router.govern.safety.topics import Topics
from router.request import Option, Request
from router.targets.base import Call
from router.targets.frontier import FrontierTarget, Provider
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint
from router.wire.events import Body


class ProvidedGuard:
    """A guard model of a configured provider, asked like any chat model.

    Args:
        target: the model.
        model: its id there.
    """

    def __init__(self, target: FrontierTarget, model: str) -> None:
        self._target = target
        self._model = model

    async def ask(self, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Its answer to a chat completion. Raises ``RouterError``."""
        call = Call(
            endpoint=Endpoint.CHAT,
            body={**body, "model": self._model},
            stream=False,
            request_id=f"guard-{secrets.token_hex(8)}",
            timeout_s=timeout_s,
        )
        answer = await self._target.send(call)
        try:
            whole = Body(b"".join([piece.raw async for piece in answer.chunks()]))
        finally:
            await answer.aclose()
        if whole.json is None:
            raise TargetBroken("The guard's answer is not JSON.")
        return whole.json


def safety(
    config: RouterConfig,
    client: HttpClient,
    environ: Mapping[str, str],
    registry: CollectorRegistry,
    governance: Governance,
    layers: Layers,
) -> Safety:
    """The safety stage. Raises ``MissingKey`` where the guard's provider lacks its key.

    Args:
        config: of the router.
        client: for calls of the guard.
        environ: where the provider's key is.
        registry: of metrics.
        governance: what the guard's provider may see.
        layers: what makes a meaning of texts, for all who read them.
    """
    chosen = config.governance.safety
    threads = Threads.of_requests("safety", config.limits.max_concurrent_requests)
    topics = Topics(chosen.topics, threads, BgeSmall(layers=layers))
    metrics = SafetyMetrics(registry, [topic.name for topic in chosen.topics])
    guard = None
    if chosen.guard is not None:
        guard = _guard(chosen.guard, config, client, environ, governance)
    classifier = Classifier(ClassifierModels.packaged(layers), threads)
    return Safety(chosen, InjectionRules(threads), classifier, guard, topics, metrics, threads)


def _guard(
    chosen: GuardConfig,
    config: RouterConfig,
    client: HttpClient,
    environ: Mapping[str, str],
    governance: Governance,
) -> Guard:
    provider = next(each for each in config.providers if each.name == chosen.provider)
    cards = {card.id: card for card in provider.models}
    card = cards.get(chosen.model) or ModelCard(
        id=chosen.model, input_usd_per_mtok=0, output_usd_per_mtok=0
    )
    target = FrontierTarget(Provider(client, provider, environ), card)
    option = Option(target=f"frontier:{chosen.provider}/{chosen.model}")

    async def redact(request: Request, body: dict[str, Any]) -> dict[str, Any]:
        return await governance.shown(request, option, body)

    return Guard(chosen, ProvidedGuard(target, chosen.model), redact)
