"""API keys, and what each may do."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from router.config.priority import Priority
from router.config.section import Section


class KeyScope(StrEnum):
    """What a key may do."""

    INFERENCE = "inference"
    ADMIN = "admin"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _no_credential(name: str) -> str:
    if name in {"authorization", "cookie", "x-api-key", "proxy-authorization"}:
        raise ValueError(f"{name} is a credential, not a fact")
    return name


Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#\s]+$")]


HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$"), AfterValidator(_no_credential)
]


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


class TokenIssuer(Section):
    """An identity provider whose tokens (RFC 7519) are taken in place of keys."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,64}$", description="what its callers are called in logs"
    )
    issuer: str = Field(min_length=1, description="the tokens' `iss`")
    audience: str = Field(min_length=1, description="who they are for: what `aud` has to name")
    jwks_file: Path = Field(
        description="its public keys, a JSON Web Key Set; looked at again every second"
    )
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"], ...
    ] = Field(default=("RS256", "ES256", "EdDSA"), min_length=1, description="of signatures")
    leeway_s: float = Field(default=30.0, ge=0, le=600, description="between clocks, seconds")
    tenant: str = Field(default="default", description="whose limits and adapters apply")
    tenant_claim: str | None = Field(
        default=None, description="the claim that names the tenant, in place of `tenant`"
    )
    client_claim: str | None = Field(
        default=None,
        description="the claim that names the program (`azp`, `client_id`); callers are then "
        "`<name>/<program>`",
    )
    subject_claim: str | None = Field(
        default=None,
        description="the claim that names the person (`sub`): the subject of each request, whom "
        "erasure finds",
    )
    scopes: frozenset[KeyScope] = Field(
        default=frozenset({KeyScope.INFERENCE}), description="what its tokens may do at most"
    )
    scope_claim: str | None = Field(
        default=None, description="the claim that lists the scopes; absent: all of `scopes`"
    )
    claims: tuple[str, ...] = Field(
        default=(), max_length=64, description="what rules may read, as `claims.<name>`"
    )
    priority: Priority = Field(
        default=Priority.STANDARD, description="the most urgent class of its requests"
    )


class TrustConfig(Section):
    """Whose word counts for rules. Callers of a process without keys are trusted with all."""

    facts: tuple[str, ...] = Field(
        default=(), description="names of keys (globs) whose `graftwork.facts` rules may read"
    )
    headers: dict[HeaderName, str] = Field(
        default_factory=dict,
        max_length=64,
        description="headers that a trusted key's gateway sets, and the facts that they are",
    )
    intents: tuple[str, ...] = Field(
        default=(),
        description="names of keys (globs) that may state the intent; another's word is ignored, "
        "and none widens what the recognised intent permits",
    )


class AuthConfig(Section):
    """Keys and tokens. Without any, all is open and only loopback is listened on (law 11)."""

    keys: tuple[ApiKey, ...] = ()
    keys_file: Path | None = Field(
        default=None,
        description="YAML or JSON list of keys, or a directory of such files; added to "
        "`keys`; must hold a key at the start and is looked at again every second",
    )
    tokens: tuple[TokenIssuer, ...] = Field(
        default=(), description="issuers of tokens that are taken in place of keys"
    )
    allowed_origins: tuple[Origin, ...] = Field(
        default=(),
        description="origins (`https://app.example`) whose pages may call with a key of their own",
    )

    @model_validator(mode="after")
    def _issuers_differ(self) -> Self:
        for each in ("issuer", "name"):
            if len({getattr(token, each) for token in self.tokens}) != len(self.tokens):
                raise ValueError(f"tokens must have distinct values of {each!r}")
        return self
