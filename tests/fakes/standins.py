"""One stand-in for each dialect that a provider can be configured with: who serves it, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.fakes.frontier import FakeFrontier
from tests.fakes.frontier_answers import CHAT, MESSAGES, RESPONSES
from tests.fakes.frontier_azure import FakeAzure
from tests.fakes.frontier_bedrock import AccessKey, FakeBedrock
from tests.fakes.frontier_gemini import FakeGemini

KEY: Final = "sk-matrix-4f1d0c9be37a"
AWS: Final = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/EXAMPLEKEY", "c2Vzc2lvbg4f1d")
_FEATURES = ("chat", "tools", "json_schema", "vision", "prefill")


@dataclass(frozen=True)
class Standin:
    """A dialect's server on loopback, and what is configured to reach it.

    Attributes:
        serve: makes the server, which obeys what a prompt says it should do wrong, or does not.
        paths: the public endpoints of generated answers that such a provider answers.
        base: what of its address is configured.
        key: of the provider, as a file of keys has it.
        secrets: the parts of the key that nobody may see.
        capabilities: of its models.
        more: what else is configured of the provider.
        marks_end: an answer's end is marked, not only told by the reason for it.
    """

    serve: Callable[[bool], FakeFrontier]
    paths: tuple[str, ...] = (CHAT, MESSAGES, RESPONSES)
    base: Callable[[FakeFrontier], str] = lambda server: server.url
    key: str = KEY
    secrets: tuple[str, ...] = (KEY,)
    capabilities: tuple[str, ...] = (*_FEATURES, "responses")
    more: Mapping[str, Any] = field(default_factory=dict)
    marks_end: bool = True


def _vertex(obeys: bool) -> FakeFrontier:
    server = FakeGemini(text=TEXT, obeys=obeys)
    server.tokens = {KEY}
    return server


TEXT: Final = "One two three four five six seven."
"""What every stand-in answers."""
STANDINS: Final[Mapping[str, Standin]] = {
    "anthropic": Standin(
        lambda obeys: FakeFrontier(text=TEXT, api_key=KEY, obeys=obeys),
        capabilities=(*_FEATURES, "messages"),
    ),
    "azure": Standin(lambda obeys: FakeAzure(text=TEXT, api_key=KEY, obeys=obeys)),
    "bedrock": Standin(
        lambda obeys: FakeBedrock(access_key=AWS, region="eu-west-1", obeys=obeys, text=TEXT),
        key=":".join(part or "" for part in AWS),
        secrets=(AWS.secret, str(AWS.token)),
        capabilities=_FEATURES,
        more={"region": "eu-west-1"},
    ),
    "gemini": Standin(
        lambda obeys: FakeGemini(text=TEXT, api_key=KEY, obeys=obeys),
        capabilities=_FEATURES,
        marks_end=False,
    ),
    "openai": Standin(
        lambda obeys: FakeFrontier(text=TEXT, api_key=KEY, obeys=obeys),
        base=lambda server: server.openai_url,
    ),
    "vertex": Standin(
        _vertex,
        base=lambda server: f"{server.url}/v1/projects/acme/locations/europe-west4",
        capabilities=_FEATURES,
        marks_end=False,
    ),
    "vllm": Standin(
        lambda obeys: FakeFrontier(text=TEXT, api_key=KEY, obeys=obeys),
        capabilities=(*_FEATURES, "responses", "messages"),
    ),
}
"""By the name of the dialect. ``test_matrix`` fails while one is missing."""


def provider(
    name: str,
    dialect: str,
    server: FakeFrontier | None,
    models: list[str],
    *,
    context_window: int = 100_000,
    usd_per_mtok: float = 1.0,
    **more: Any,
) -> dict[str, Any]:
    """The configuration of one provider; without a server, of one that is gone."""
    standin = STANDINS[dialect]
    card = {
        "context_window": context_window,
        "max_output_tokens": 100,
        "input_usd_per_mtok": usd_per_mtok,
        "output_usd_per_mtok": usd_per_mtok,
        "capabilities": list(standin.capabilities),
    }
    return {
        "name": name,
        "dialect": dialect,
        # Nobody listens on port 1 of this machine.
        "base_url": "http://127.0.0.1:1" if server is None else standin.base(server),
        "api_key_env": key_env(dialect),
        "models": [{"id": model, **card} for model in models],
        "connect_timeout_s": 30.0,
        **standin.more,
        **more,
    }


def key_env(dialect: str) -> str:
    """The variable that holds a dialect's key."""
    return f"MATRIX_{dialect.upper()}"


def environment() -> dict[str, str]:
    """All their keys."""
    return {key_env(dialect): standin.key for dialect, standin in STANDINS.items()}
