"""The router's configuration: who may call, what may answer, and within which limits."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from router.delivery.config import DeliveryConfig
from router.sections.budgets import BudgetsConfig
from router.sections.cache import CacheConfig
from router.sections.policy import PolicyConfig
from router.sections.priority import Priority, PriorityConfig
from router.sections.records import RecordsConfig
from router.sections.routing import RoutingConfig
from router.targets.providers import ProviderConfig


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scope(StrEnum):
    """What a key may do."""

    INFERENCE = "inference"
    ADMIN = "admin"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ApiKey(_Section):
    """One key, stored by its hash. ``graftwork keys new`` prints both."""

    name: str = Field(description="who holds it; appears in logs, the key never does")
    sha256: Sha256 = Field(description="hex SHA-256 of the key")
    scopes: frozenset[Scope] = Field(
        default=frozenset({Scope.INFERENCE}), description="what it may do"
    )
    tenant: str = Field(default="default", description="whose limits and adapters apply")
    priority: Priority = Field(
        default=Priority.STANDARD,
        description="the most urgent class that its requests may have",
    )


class AuthConfig(_Section):
    """Keys. Without any, everything is open and only loopback is listened on (law 11)."""

    keys: tuple[ApiKey, ...] = ()
    keys_file: Path | None = Field(
        default=None,
        description="YAML or JSON list of keys, or a directory of such files; read at start, added "
        "to `keys`; must hold a key",
    )


class IntentConfig(_Section):
    """An intent that `model: auto` recognises, by words and examples."""

    name: str = Field(description="as it appears in decisions and in manifests")
    alias: str | None = Field(default=None, description="the adapter that answers it")
    keywords: tuple[str, ...] = Field(default=(), description="whole words or phrases, any case")
    examples: tuple[str, ...] = Field(default=(), description="utterances of the intent")


class AutoConfig(_Section):
    """How `model: auto` chooses."""

    intents: tuple[IntentConfig, ...] = ()
    out_of_scope: tuple[str, ...] = Field(
        default=(), description="utterances that have none of the intents"
    )
    examples_file: Path | None = Field(
        default=None, description="more examples: CSV or JSON lines with text and intent"
    )
    intents_file: Path | None = Field(
        default=None,
        description="YAML with `intents`, `out_of_scope` and `examples_file` that are added to "
        "those here; a change is taken over without a restart",
    )
    intents_poll_s: float = Field(
        default=2.0, gt=0, description="how often these files are looked at, seconds"
    )
    reject_share: float = Field(
        default=0.015,
        ge=0,
        le=0.5,
        description="share of correctly recognised texts that may be taken for out of scope",
    )
    threshold: float = Field(
        default=0.35,
        ge=0,
        le=1,
        description="with a handful of examples: cosine to the nearest one below which no intent "
        "matches",
    )
    max_tokens: int = Field(
        default=16,
        ge=8,
        le=64,
        description="word pieces of a text that go through the intent encoder, the rarest ones; "
        "each costs about 0.2 ms of one core",
    )
    frontier: str | None = Field(
        default=None, description="`<provider>/<model>` that answers when the base cannot"
    )


class FairnessConfig(_Section):
    """Weighted fair queueing over adapters, ahead of each engine replica."""

    max_in_flight_per_replica: int = Field(
        default=256, ge=1, description="requests one router keeps under way on one replica"
    )
    max_adapters_per_replica: int | None = Field(
        default=None,
        ge=1,
        description="distinct adapters under way on one replica; null: the engine's max_loras",
    )
    max_queued_per_replica: int = Field(default=1024, ge=1, description="requests that wait")
    patience_s: float = Field(
        default=0.25,
        ge=0,
        description="seconds after which a waiting request is not overtaken by later ones",
    )
    weights: dict[str, float] = Field(
        default_factory=dict, description="share of an alias against others; 1 unless named"
    )

    @field_validator("weights")
    @classmethod
    def _weights_are_positive(cls, weights: dict[str, float]) -> dict[str, float]:
        if any(not 0 < weight < float("inf") for weight in weights.values()):
            raise ValueError("weights must be numbers above 0")
        return weights


class LimitsConfig(_Section):
    """Bounds of one router replica (law 9)."""

    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, description="request body, bytes")
    max_archive_bytes: int = Field(
        default=2 * 1024**3, ge=1024, description="body of an adapter push, bytes"
    )
    max_concurrent_requests: int = Field(default=512, ge=1, description="inference calls under way")
    requests_per_minute: int = Field(
        default=600_000, ge=1, description="per tenant and router replica"
    )
    request_timeout_s: float = Field(default=600.0, gt=0, description="whole call, seconds")
    connect_timeout_s: float = Field(default=5.0, gt=0, description="to a target, seconds")
    decisions_kept: int = Field(
        default=1000, ge=1, description="newest decision records that are found without the disk"
    )


class RouterConfig(_Section):
    """Everything that the request path needs to know."""

    auth: AuthConfig = AuthConfig()
    auto: AutoConfig = AutoConfig()
    limits: LimitsConfig = LimitsConfig()
    fairness: FairnessConfig = FairnessConfig()
    priority: PriorityConfig = PriorityConfig()
    policy: PolicyConfig = PolicyConfig()
    routing: RoutingConfig = RoutingConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    budgets: BudgetsConfig = BudgetsConfig()
    cache: CacheConfig = CacheConfig()
    records: RecordsConfig = RecordsConfig()
    providers: tuple[ProviderConfig, ...] = ()

    @model_validator(mode="after")
    def _names_are_distinct(self) -> RouterConfig:
        names = [provider.name for provider in self.providers]
        if len(names) != len(set(names)):
            raise ValueError(f"providers must have distinct names, got {names}")
        if self.auto.frontier is not None:
            provider, _, model = self.auto.frontier.partition("/")
            known = {p.name: {m.id for m in p.models} for p in self.providers}
            if model not in known.get(provider, set()):
                raise ValueError(
                    f"auto.frontier names {self.auto.frontier!r}, which no provider has"
                )
        return self
