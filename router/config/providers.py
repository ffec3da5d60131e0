"""What is configured about frontier providers and their models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from adapters.aliases import Roles
from router.config.egress import EgressConfig
from router.config.google import BadAccount, GoogleAuth, read_service_account
from router.config.vendors import (
    PRICES,
    LongPrompt,
    PriceList,
    Vendor,
    completed,
    fields_of,
    known,
)
from router.wire.dialects import DIALECTS, dialect_of
from router.wire.dialects.base import Dialect, Traits
from router.wire.endpoint import Endpoint, Usage
from router.wire.formats.base import PrefillStyle

ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
ModelId = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Capability(StrEnum):
    """What a model can do: the endpoints that its provider has for it, and features."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    TOOLS = "tools"
    VISION = "vision"
    JSON_SCHEMA = "json_schema"
    PREFILL = "prefill"
    """It goes on from a last message of the assistant, without repeating it."""


_NATIVE = {
    Capability.CHAT: Endpoint.CHAT,
    Capability.COMPLETIONS: Endpoint.COMPLETIONS,
    Capability.RESPONSES: Endpoint.RESPONSES,
    Capability.EMBEDDINGS: Endpoint.EMBEDDINGS,
    Capability.MESSAGES: Endpoint.MESSAGES,
}


class ModelCard(_Record):
    """One model of a provider."""

    id: ModelId = Field(description="what the provider calls it")
    context_window: int = Field(
        default=128_000,
        ge=1,
        description="prompt and answer, tokens; of a known model its own",
    )
    max_output_tokens: int = Field(default=4096, ge=1, description="longest answer, tokens")
    input_usd_per_mtok: Usd = Field(
        description="price of a million prompt tokens, USD; absent: a known model's"
    )
    output_usd_per_mtok: Usd = Field(
        description="price of a million answer tokens, USD; absent: a known model's"
    )
    cached_input_usd_per_mtok: Usd | None = Field(
        default=None, description="price of a million cached prompt tokens, USD; absent: full price"
    )
    long_prompt: LongPrompt | None = Field(
        default=None, description="other prices of requests with long prompts"
    )
    capabilities: frozenset[Capability] = Field(
        default=frozenset({Capability.CHAT}), description="endpoints and features that it has"
    )
    system_messages: bool = Field(
        default=True, description="takes them; else what they say is put before the user's words"
    )
    developer_messages: bool = Field(
        default=True, description="takes them; else they are system messages"
    )
    alternating_turns: bool = Field(
        default=False, description="user and assistant must speak in turns, the user first"
    )
    requests_per_minute: int | None = Field(
        default=None,
        ge=1,
        description="calls that each router begins at most; beyond, the next target is asked",
    )
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="the same for tokens of prompts and answers"
    )
    intents: tuple[str, ...] = Field(default=(), description="intents that it is meant for")
    regions: tuple[str, ...] = Field(default=(), description="where it may process data")
    tenants: tuple[str, ...] = Field(
        default=("*",), description="globs over the tenants that may use it"
    )

    @property
    def native(self) -> frozenset[Endpoint]:
        """The endpoints that its provider has for it."""
        return frozenset(_NATIVE[c] for c in self.capabilities if c in _NATIVE)

    @property
    def roles(self) -> Roles:
        """Which turns it takes."""
        return Roles(
            system=self.system_messages,
            developer=self.developer_messages,
            alternates=self.alternating_turns,
        )

    def cost_usd(self, usage: Usage) -> float | None:
        """What an answer cost, USD; None when the provider did not count its tokens."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        long = self.long_prompt
        prices = self if long is None or usage.input_tokens <= long.above_tokens else long
        cached_price = prices.cached_input_usd_per_mtok
        if cached_price is None:
            cached_price = prices.input_usd_per_mtok
        cached = min(usage.cached_input_tokens or 0, usage.input_tokens)
        fresh = usage.input_tokens - cached
        return (
            fresh * prices.input_usd_per_mtok
            + cached * cached_price
            + usage.output_tokens * prices.output_usd_per_mtok
        ) / 1e6


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds that are configured for one target, seconds; None: the router's own."""

    first_token_s: float | None = None
    whole_answer_s: float | None = None
    idle_s: float | None = None


class ProviderConfig(_Record):
    """One upstream that speaks an API that we know."""

    name: ProviderName = Field(description="first part of the public name `<provider>/<model>`")
    vendor: str | None = Field(
        default=None,
        description="one of those that are known: address, API and its habits follow from it; "
        "absent: none is assumed, and prices go by the address",
    )
    dialect: str = Field(
        default="openai", description=f"the API that it speaks: {', '.join(DIALECTS)}"
    )
    base_url: str = Field(
        description="as the vendor's SDK takes it: OpenAI's with `/v1`, Anthropic's without"
    )
    api_key_env: str | None = Field(
        default=None, min_length=1, description="environment variable that holds the key"
    )
    api_key_file: Path | None = Field(
        default=None,
        description="file that holds the key, or several, one a line, which are taken in turn; a "
        "change is taken over within a second",
    )
    google_auth: GoogleAuth | None = Field(
        default=None, description="access tokens of Google Cloud, in place of a key"
    )
    api_version: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.-]+$",
        description="of Azure's older API, whose paths name deployments; absent: its `v1` API",
    )
    region: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+$",
        description="AWS's, for which calls of `bedrock` are signed; absent: the one in `base_url`",
    )
    egress: EgressConfig = Field(default=EgressConfig(), description="the way out of the network")
    models: tuple[ModelCard, ...] = Field(min_length=1)
    connect_timeout_s: float = Field(default=5.0, gt=0, description="for a connection, seconds")
    total_timeout_s: float = Field(default=600.0, gt=0, description="for a whole call, seconds")
    first_token_timeout_s: float | None = Field(
        default=None, gt=0, description="in place of `delivery.timeouts.first_token_s`"
    )
    whole_answer_timeout_s: float | None = Field(
        default=None, gt=0, description="in place of `delivery.timeouts.whole_answer_s`"
    )
    idle_timeout_s: float | None = Field(
        default=None, gt=0, description="in place of `delivery.timeouts.idle_s`"
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="sent with every call; no place for secrets"
    )
    max_connections: int = Field(
        default=256, ge=1, description="calls under way; one more is refused, not queued"
    )
    stream_usage: bool = Field(
        default=True,
        description="ask for token counts in streams; off for an upstream that rejects "
        "`stream_options`, whose streams then cannot be billed",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens",
        description="what an OpenAI-compatible upstream calls the bound on the answer when a "
        "`/v1/messages` call is translated for it",
    )
    prefill_style: PrefillStyle = Field(
        default=PrefillStyle.MESSAGE,
        description="how an OpenAI-compatible upstream is asked to go on from the assistant's last "
        "message, for models that have `prefill`",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_completed(cls, raw: object) -> object:
        return completed(raw) if isinstance(raw, dict) else raw

    @field_validator("dialect")
    @classmethod
    def _dialect_is_known(cls, value: str) -> str:
        if value not in DIALECTS:
            raise ValueError(f"must be one of {', '.join(DIALECTS)}")
        return value

    @field_validator("base_url")
    @classmethod
    def _base_url_is_plain(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an http or https URL")
        if parts.username or parts.password:
            raise ValueError("must not contain credentials: use api_key_env or api_key_file")
        if parts.query or parts.fragment:
            raise ValueError("must not contain a query or a fragment")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.api_key_env is not None and self.api_key_file is not None:
            raise ValueError(f"provider {self.name}: give api_key_env or api_key_file, not both")
        if self.google_auth is not None:
            self._require_bearer()
        if self.api_version is not None and not self.api.versions:
            raise ValueError(f"provider {self.name}: {self.dialect} has no api_version")
        if self.region is not None and not self.api.signs:
            raise ValueError(f"provider {self.name}: {self.dialect} has no region")
        if self.api.signs and self._signing_region is None:
            raise ValueError(f"provider {self.name}: base_url names no region, so `region` has to")
        ids = [model.id for model in self.models]
        if len(ids) != len(set(ids)):
            raise ValueError(f"provider {self.name}: models must have distinct ids, got {ids}")
        return self

    def _require_bearer(self) -> None:
        if self.api_key_env is not None or self.api_key_file is not None:
            raise ValueError(f"provider {self.name}: give a key or google_auth, not both")
        if "Authorization" not in self.api.credentials("token"):
            raise ValueError(f"provider {self.name}: {self.dialect} takes keys, not google_auth")

    @property
    def api(self) -> Dialect:
        """The API that it speaks."""
        return dialect_of(self.dialect)

    @property
    def known_vendor(self) -> Vendor | None:
        """What is known about who is behind it."""
        return known().of(self.vendor, self.base_url)

    def price_list(self, card: ModelCard) -> PriceList | None:
        """The list that a model's prices are from; None: they were configured."""
        vendor = self.known_vendor
        listed = None if vendor is None else vendor.models.get(card.id)
        if vendor is None or listed is None:
            return None
        same = all(getattr(card, name) == getattr(listed, name) for name in PRICES)
        return vendor.prices if same else None

    @property
    def _signing_region(self) -> str | None:
        return self.region or self.api.region_in(self.base_url)

    def url(self, endpoint: Endpoint, model: str = "", *, stream: bool = False) -> str:
        """Where a call of a model goes, whether or not ``base_url`` says ``/v1``."""
        if self.api_version is None:
            return self.api.addressed(self.base_url, endpoint, model, stream)
        return self.api.versioned(self.base_url, endpoint, model, self.api_version)

    def proof(self, key: str | None, url: str, payload: bytes) -> Mapping[str, str]:
        """The headers that prove who sends ``payload`` to ``url``; none without a key."""
        if key is None:
            return {}
        return self.api.signed(key, url, payload, self._signing_region)

    def traits(self, card: ModelCard) -> Traits:
        """What the bodies of calls of a model depend on."""
        return Traits(
            native=card.native,
            can_prefill=Capability.PREFILL in card.capabilities,
            prefill_style=self.prefill_style,
            max_output_tokens=card.max_output_tokens,
            max_tokens_field=self.max_tokens_field,
            stream_usage=self.stream_usage,
            fields=fields_of(self.known_vendor),
        )

    def keeps_responses(self, card: ModelCard) -> bool:
        """Whether later requests may refer to a response that the model gave."""
        return self.api.keeps_responses(card.native)

    def limits(self) -> CallLimits:
        """The provider's own bounds."""
        return CallLimits(
            self.first_token_timeout_s, self.whole_answer_timeout_s, self.idle_timeout_s
        )

    def endpoints(self, card: ModelCard) -> frozenset[Endpoint]:
        """The public endpoints that the model answers, translated ones included."""
        return self.api.endpoints(card.native)


class MissingKey(ValueError):
    """A provider's key is configured but not there; the message says where it was looked for."""


_MAX_KEYS = 64


def read_keys(config: ProviderConfig, environ: Mapping[str, str]) -> list[str]:
    """The provider's keys; none when it needs none.

    Raises:
        MissingKey: the variable or file is absent, empty or unusable. Never shows what it held.
    """
    if config.google_auth is not None and config.google_auth.service_account_file is not None:
        try:
            read_service_account(config.google_auth.service_account_file)
        except BadAccount as error:
            raise MissingKey(f"provider {config.name} needs a service account: {error}") from error
    if config.api_key_env is not None:
        where = f"environment variable {config.api_key_env}"
        lines = [environ.get(config.api_key_env, "")]
    elif config.api_key_file is not None:
        where = f"file {config.api_key_file}"
        try:
            lines = config.api_key_file.read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            lines = []
    else:
        return []
    keys = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not keys:
        raise MissingKey(f"provider {config.name} needs a key: set {where}")
    if len(keys) > _MAX_KEYS or not all(key.isascii() and key.isprintable() for key in keys):
        raise MissingKey(f"provider {config.name}: {where} holds something that is no key")
    for why in map(config.api.unusable, keys):
        if why is not None:
            raise MissingKey(f"provider {config.name}: {where}: {why}")
    return keys


def read_key(config: ProviderConfig, environ: Mapping[str, str]) -> str | None:
    """The first of them; None when it needs none. Raises ``MissingKey``."""
    return next(iter(read_keys(config, environ)), None)
