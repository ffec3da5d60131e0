"""Everything that the request path needs to know."""

from __future__ import annotations

from pydantic import model_validator

from adapters.records.config import RecordsConfig
from router.config.auth import AuthConfig, TrustConfig
from router.config.auto import AutoConfig
from router.config.budgets import BudgetsConfig
from router.config.cache import CacheConfig
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
    records: RecordsConfig = RecordsConfig()
    providers: tuple[ProviderConfig, ...] = ()

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
