"""Everything that the request path needs to know."""

from __future__ import annotations

from pydantic import Field, model_validator

from adapters.records.config import RecordsConfig
from router.config.auth import AuthConfig, TrustConfig
from router.config.auto import AutoConfig
from router.config.budgets import BudgetsConfig
from router.config.cache import CacheConfig
from router.config.capture import CaptureConfig
from router.config.delivery import DeliveryConfig
from router.config.documents import ContextConfig
from router.config.fairness import FairnessConfig
from router.config.governance import GovernanceConfig
from router.config.limits import LimitsConfig
from router.config.policy import PolicyConfig
from router.config.priority import PriorityConfig
from router.config.providers import ProviderConfig
from router.config.routing import RoutingConfig
from router.config.section import Section
from router.config.virtual import VirtualModel, is_glob


class RouterConfig(Section):
    """Everything that the request path needs to know."""

    auth: AuthConfig = AuthConfig()
    trust: TrustConfig = TrustConfig()
    auto: AutoConfig = AutoConfig()
    limits: LimitsConfig = LimitsConfig()
    fairness: FairnessConfig = FairnessConfig()
    priority: PriorityConfig = PriorityConfig()
    policy: PolicyConfig = PolicyConfig()
    governance: GovernanceConfig = GovernanceConfig()
    routing: RoutingConfig = RoutingConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    budgets: BudgetsConfig = BudgetsConfig()
    cache: CacheConfig = CacheConfig()
    context: ContextConfig = ContextConfig()
    capture: CaptureConfig = CaptureConfig()
    records: RecordsConfig = RecordsConfig()
    providers: tuple[ProviderConfig, ...] = ()
    models: dict[str, VirtualModel] = Field(
        default_factory=dict,
        max_length=1000,
        description="virtual models, by name; a name may be a glob (`gpt-4o*`), for what clients "
        "have hard-coded",
    )
    fallbacks: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        max_length=1000,
        description="who answers when a named model cannot: by its name, the targets in order",
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> RouterConfig:
        names = [provider.name for provider in self.providers]
        if len(names) != len(set(names)):
            raise ValueError(f"providers must have distinct names, got {names}")
        guard = self.governance.safety.guard
        if guard is not None and guard.provider not in names:
            raise ValueError(
                f"governance.safety.guard names {guard.provider!r}, which no provider has"
            )
        if self.auto.frontier is not None:
            provider, _, model = self.auto.frontier.partition("/")
            known = {p.name: {m.id for m in p.models} for p in self.providers}
            if model not in known.get(provider, set()):
                raise ValueError(
                    f"auto.frontier names {self.auto.frontier!r}, which no provider has"
                )
        return self

    @model_validator(mode="after")
    def _names_mean_one_thing(self) -> RouterConfig:
        known = {f"{p.name}/{m.id}" for p in self.providers for m in p.models}
        taken = {"auto", "base", *known, *(p.name for p in self.providers)}
        if clash := sorted(taken & self.models.keys()):
            raise ValueError(f"models must not be called {clash}: something else is")
        lists = {f"models.{name}": each.targets for name, each in self.models.items()}
        lists |= {f"fallbacks.{name}": each for name, each in self.fallbacks.items()}
        for where, targets in lists.items():
            for target in targets:
                if target in self.models:
                    raise ValueError(f"{where}: {target!r} is a virtual model itself")
                if "/" in target and target not in known:
                    raise ValueError(f"{where}: no provider has {target!r}")
        return self

    @property
    def taken_names(self) -> frozenset[str]:
        """Names that no alias may have: those of providers and of virtual models."""
        virtual = (name for name in self.models if not is_glob(name))
        return frozenset({*virtual, *(provider.name for provider in self.providers)})
