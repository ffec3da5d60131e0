"""What is known about vendors: addresses, habits of their APIs, and prices with source and date.

It is data (``vendors.json``), of the day that it names; configuration overrides all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from router.wire.vendor_fields import AS_THEY_ARE, Fields

Json = dict[str, Any]
PRICES: Final = (
    "input_usd_per_mtok",
    "output_usd_per_mtok",
    "cached_input_usd_per_mtok",
    "long_prompt",
)
"""Fields of a card that are prices."""
_NEEDED: Final = ("input_usd_per_mtok", "output_usd_per_mtok")
_DEFAULTS: Final = ("base_url", "dialect", "max_tokens_field", "stream_usage")


class LongPrompt(BaseModel):
    """What all tokens of a request cost whose prompt is long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    above_tokens: int = Field(ge=1, description="prompts with more tokens are long")
    input_usd_per_mtok: float = Field(
        ge=0, allow_inf_nan=False, description="price of a million prompt tokens then, USD"
    )
    output_usd_per_mtok: float = Field(
        ge=0, allow_inf_nan=False, description="price of a million generated tokens then, USD"
    )
    cached_input_usd_per_mtok: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="price of a million cached prompt tokens then, USD; absent: full price",
    )


class PriceList(BaseModel):
    """Where a vendor's prices come from.

    Attributes:
        page: the vendor's own.
        read: when.
        by: who read it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: str
    read: date
    by: str


class KnownModel(BaseModel):
    """A model's window and standard prices; see ``ModelCard``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_window: int
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    long_prompt: LongPrompt | None = None


class Vendor(BaseModel):
    """What is known about one.

    Attributes:
        hosts: of its own API.
        about: where its habits are described.
        takes: fields of chat that it takes; None: all.
        leaves_out: fields of chat that it does not take.
        renames: its names of fields of chat.
        one_answer: it gives one answer to a request.
        tells_cost: its counts say what was charged, USD.
        prices: of ``models``.
        models: by id.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: tuple[str, ...]
    base_url: str
    dialect: str
    max_tokens_field: str = "max_tokens"
    stream_usage: bool = True
    about: str = ""
    takes: frozenset[str] | None = None
    leaves_out: frozenset[str] = frozenset()
    renames: Mapping[str, str] = Field(default_factory=dict)
    one_answer: bool = False
    tells_cost: bool = False
    prices: PriceList | None = None
    models: Mapping[str, KnownModel] = Field(default_factory=dict)

    @property
    def fields(self) -> Fields:
        """What has to become of a request's fields."""
        return Fields(self.takes, self.leaves_out, dict(self.renames), self.one_answer)


@dataclass(frozen=True, slots=True)
class Known:
    """All of it.

    Attributes:
        version: the day of the file.
        vendors: by name.
    """

    version: str
    vendors: Mapping[str, Vendor] = field(default_factory=dict)

    def at(self, base_url: object) -> Vendor | None:
        """Whose address it is."""
        host = urlsplit(base_url).hostname if isinstance(base_url, str) else None
        return next((each for each in self.vendors.values() if host in each.hosts), None)

    def of(self, name: str | None, base_url: object) -> Vendor | None:
        """The vendor of this name, else the one whose address it is."""
        return self.at(base_url) if name is None else self.vendors.get(name)


@cache
def known() -> Known:
    """What this version of Graftwork knows."""
    raw = orjson.loads((files(__package__) / "vendors.json").read_bytes())
    vendors = TypeAdapter(dict[str, Vendor]).validate_python(raw["vendors"])
    return Known(raw["version"], vendors)


def fields_of(vendor: Vendor | None) -> Fields:
    """What has to become of a request's fields; nothing for an unknown vendor."""
    return AS_THEY_ARE if vendor is None else vendor.fields


def completed(raw: Json) -> Json:
    """A provider's configuration with what is known about its vendor, where it says nothing.

    Raises:
        ValueError: an unknown vendor, or a model without a price; both with the remedy.
    """
    name = raw.get("vendor")
    vendors = known().vendors
    if name is not None and (not isinstance(name, str) or name not in vendors):
        raise ValueError(f"vendor must be one of {', '.join(vendors)}, or left out")
    if name is not None:
        defaults = vendors[name].model_dump(include=set(_DEFAULTS))
        raw = {**defaults, **raw}
    models = raw.get("models")
    if not isinstance(models, list | tuple):
        return raw
    vendor = known().of(name, raw.get("base_url"))
    return {**raw, "models": [_model(each, raw, vendor) for each in models]}


def _model(model: object, provider: Json, vendor: Vendor | None) -> object:
    if not isinstance(model, dict):
        return model
    found = vendor.models.get(str(model.get("id"))) if vendor is not None else None
    if found is None or vendor is None:
        return _priced(model, provider)
    told = found.model_dump(exclude_none=True)
    if any(name in model for name in PRICES):  # prices of two sources do not mix
        told = {"context_window": told["context_window"]}
    return _priced({**told, **model}, provider)


def _priced(model: Json, provider: Json) -> Json:
    missing = [name for name in _NEEDED if name not in model]
    if missing:
        raise ValueError(
            f"provider {provider.get('name')}: {model.get('id')!r} is not in the list of known "
            f"models ({known().version}): set {' and '.join(missing)}, USD per million tokens"
        )
    return model
