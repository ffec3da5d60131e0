"""Every configured frontier model as a target."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from router.config.providers import Dialect, ProviderConfig
from router.targets.anthropic import AnthropicTarget
from router.targets.frontier import Provider
from router.targets.http_client import HttpClient
from router.targets.openai import OpenAITarget

FrontierTarget = OpenAITarget | AnthropicTarget


def frontier_targets(
    client: HttpClient,
    providers: Iterable[ProviderConfig],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, FrontierTarget]:
    """The targets by their public name ``<provider>/<model>``.

    Raises:
        MissingKey: a provider's key is configured but not there.
    """
    found: dict[str, FrontierTarget] = {}
    for config in providers:
        provider = Provider(client, config, environ)
        kind = AnthropicTarget if config.dialect is Dialect.ANTHROPIC else OpenAITarget
        for card in config.models:
            found[f"{config.name}/{card.id}"] = kind(provider, card)
    return found
