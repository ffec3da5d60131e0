"""API keys, and what each may do."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from router.config.priority import Priority
from router.config.section import Section


class KeyScope(StrEnum):
    """What a key may do."""

    INFERENCE = "inference"
    ADMIN = "admin"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#\s]+$")]


class ApiKey(Section):
    """One key, stored by its hash. ``graftwork keys new`` prints both."""

    name: str = Field(description="who holds it; appears in logs, the key never does")
    sha256: Sha256 = Field(description="hex SHA-256 of the key")
    scopes: frozenset[KeyScope] = Field(
        default=frozenset({KeyScope.INFERENCE}), description="what it may do"
    )
    tenant: str = Field(default="default", description="whose limits and adapters apply")
    priority: Priority = Field(
        default=Priority.STANDARD,
        description="the most urgent class that its requests may have",
    )
    claims: dict[str, str | float | bool] = Field(
        default_factory=dict,
        max_length=64,
        description="what rules may know of its holder, as `claims.<name>`",
    )


class TrustConfig(Section):
    """Whose word counts for rules. Callers of a process without keys are trusted with all."""

    facts: tuple[str, ...] = Field(
        default=(), description="names of keys (globs) whose `graftwork.facts` rules may read"
    )
    intents: tuple[str, ...] = Field(
        default=(),
        description="names of keys (globs) that may state the intent; another's word is ignored, "
        "and none widens what the recognised intent permits",
    )


class AuthConfig(Section):
    """Keys. Without any, everything is open and only loopback is listened on (law 11)."""

    keys: tuple[ApiKey, ...] = ()
    keys_file: Path | None = Field(
        default=None,
        description="YAML or JSON list of keys, or a directory of such files; added to "
        "`keys`; must hold a key at the start and is looked at again every second",
    )
    allowed_origins: tuple[Origin, ...] = Field(
        default=(),
        description="origins (`https://app.example`) whose pages may call with a key of their own",
    )
