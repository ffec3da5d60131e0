"""Who may be answered by what: allow and deny rules as data."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cached_property
from typing import Self

import orjson
from pydantic import Field, model_validator

from router.config.section import Section

Globs = tuple[str, ...]
EVERYTHING: Globs = ("*",)
_VERSION_DIGITS = 12


class Effect(StrEnum):
    """What a rule does with what it matches."""

    ALLOW = "allow"
    DENY = "deny"


class PolicyRule(Section):
    """One rule. It applies where all of its conditions do; what is not given matches everything."""

    name: str = Field(min_length=1, description="appears in reasons and decision records")
    effect: Effect = Field(description="`deny` wins over `allow`, in any order")
    targets: Globs = Field(
        default=EVERYTHING,
        description="globs over `base`, `adapter:<alias>@<digest12>` and "
        "`frontier:<provider>/<model>`",
    )
    regions: Globs = Field(
        default=(),
        description="targets in these regions; one that declares none is denied by a deny rule and "
        "not allowed by an allow rule",
    )
    outside_regions: Globs = Field(
        default=(), description="targets that may process data anywhere outside these regions"
    )
    tenants: Globs = Field(default=EVERYTHING, description="globs over tenants")
    keys: Globs = Field(default=EVERYTHING, description="globs over the names of keys")
    intents: Globs = Field(
        default=EVERYTHING, description="globs over recognised intents; `none` where there is none"
    )


class PolicyConfig(Section):
    """Who may be answered by what. A refusal is 403 `policy_denied` and is never routed around."""

    default: Effect = Field(default=Effect.ALLOW, description="where no rule applies")
    rules: tuple[PolicyRule, ...] = ()

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [rule.name for rule in self.rules]
        if len(names) != len(set(names)):
            raise ValueError(f"policy rules must have distinct names, got {names}")
        return self

    @cached_property
    def version(self) -> str:
        """The content's hash, its first 12 digits: it changes exactly when the policy does."""
        canonical = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()[:_VERSION_DIGITS]
