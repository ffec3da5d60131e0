"""Budgets: how many requests and tokens, and how much money, who may use for what, until when."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from router.config.section import Section

EACH = "*"
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Window(StrEnum):
    """Over which time an amount is counted; calendar units, in UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class BudgetConfig(Section):
    """One budget. ``key``, ``tenant`` and ``route`` say whose use it counts."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        max_length=64, description="appears in refusals and in `graftwork usage`"
    )
    window: Window = Field(description="when it starts anew; `total`: never")
    key: Pattern | None = Field(
        default=None, description="name of a key; `*`: each key apart; null: all keys together"
    )
    tenant: Pattern | None = Field(
        default=None, description="a tenant; `*`: each apart; null: all together"
    )
    route: Pattern | None = Field(
        default=None,
        description="what the client names as `model`, a version's pin left out; `*`: each apart; "
        "null: all together",
    )
    requests: int | None = Field(default=None, ge=1, description="inference calls")
    tokens: int | None = Field(
        default=None, ge=1, description="prompt and answer tokens of every attempt"
    )
    usd: float | None = Field(
        default=None, gt=0, le=1e9, allow_inf_nan=False, description="money, US dollars"
    )

    @model_validator(mode="after")
    def _limits_something(self) -> BudgetConfig:
        if self.requests is None and self.tokens is None and self.usd is None:
            raise ValueError(f"budget {self.name}: give requests, tokens or usd")
        return self


class UnreachableConfig(Section):
    """What happens when a lease is used up and the registry does not answer."""

    requests: Literal["refuse", "allow"] = Field(default="refuse", description="limits of requests")
    tokens: Literal["refuse", "allow"] = Field(default="refuse", description="limits of tokens")


class BudgetsConfig(Section):
    """Budgets, and how they hold over several routers."""

    limits: tuple[BudgetConfig, ...] = ()
    authority: Literal["registry", "local"] = Field(
        default="registry",
        description="who hands out leases: the registry, for all routers; or this process alone, "
        "for a router that has no registry",
    )
    lease_share: float = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="share of a limit that one router may hold ahead of need",
    )
    grant_timeout_s: float = Field(
        default=2.0, gt=0, description="wait for the registry when a lease is short, seconds"
    )
    when_unreachable: UnreachableConfig = Field(
        default=UnreachableConfig(), description="money is always refused then"
    )
    bytes_per_token: float = Field(
        default=1.0,
        ge=1,
        le=8,
        description="how long a token is at least, for the worst case of a prompt. 1 is never "
        "wrong; more sets less aside, and lets a budget be overspent by what it is wrong",
    )
    tokens_per_image: int = Field(
        default=4096, ge=0, description="worst case of one image in a prompt"
    )
    max_accounts: int = Field(
        default=20_000, ge=1, description="running counts that one router keeps"
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> BudgetsConfig:
        names = [budget.name for budget in self.limits]
        if len(names) != len(set(names)):
            raise ValueError(f"budgets must have distinct names, got {names}")
        return self
