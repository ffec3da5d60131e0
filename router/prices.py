"""What a token costs, and what a local one's price is made of.

The price of a replica's time is known, the tokens of that time are counted, and one generated token
takes as long as ``k`` prompt tokens, as measured at this load, else as configured. So with ``T``
busy seconds, ``p`` prompt tokens and ``g`` generated ones,

    input price = USD per second * T / (p + k g)        output price = k * input price

and ``p * input price + g * output price`` is what the time cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from router.config.routing import LocalPrice
from router.wire.endpoint import Usage

_HOUR_S: Final = 3600.0
_SLOWEST: Final = 0.1
_FASTEST: Final = 1000.0
"""A measured price stays within these multiples of the starting throughput, whatever is counted."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per token."""

    input_usd: float = 0.0
    output_usd: float = 0.0
    cached_usd: float = 0.0
    long_above: float = math.inf
    """Prompts of more tokens have another price, ``long``."""
    long: Price | None = None

    def expected(self, input_tokens: float, output_tokens: float, cached: float = 0.0) -> float:
        """What an answer will cost, USD."""
        if self.long is not None and input_tokens > self.long_above:
            return self.long.expected(input_tokens, output_tokens, cached)
        cached = min(cached, input_tokens)
        fresh = input_tokens - cached
        return fresh * self.input_usd + cached * self.cached_usd + output_tokens * self.output_usd

    def paid(self, usage: Usage) -> float:
        """What an answer cost, USD; 0 when its tokens were not counted."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return 0.0
        cached = usage.cached_input_tokens or 0
        return self.expected(usage.input_tokens, usage.output_tokens, cached)


FREE = Price()


class Work(BaseModel):
    """What engine replicas did in the time in which they were busy."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    busy_s: float = Field(default=0.0, ge=0)
    """With at least one request under way; of several replicas added up."""
    input_tokens: float = Field(default=0.0, ge=0)
    """Of prompts, computed: those from the prefix cache took no time."""
    output_tokens: float = Field(default=0.0, ge=0)
    """Generated."""
    request_s: float = Field(default=0.0, ge=0)
    """The seconds of every request added up: over ``busy_s``, how many were under way at once."""
    ratio: float | None = Field(default=None, gt=0)
    """Prompt tokens that took as long as one generated token in this time; None: not known."""


class Basis(StrEnum):
    """Where a local price comes from."""

    NONE = "none"
    """No price of a replica's time is configured: tokens are free."""
    CONFIGURED = "configured"
    STARTING = "starting"
    """Not enough was measured: the configured starting throughput is assumed."""
    MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Tariff:
    """The local price of one moment. A request keeps the one that it was decided with."""

    price: Price = FREE
    basis: Basis = Basis.NONE
    work: Work | None = None
    """What was measured, also where the price does not come from it."""
    ratio: float | None = None
    """Price of a generated token over that of a prompt token; None without a price."""

    def record(self) -> dict[str, Any]:
        """As the decision record has it: enough to price the request again."""
        return {
            "basis": self.basis.value,
            "input_usd_per_mtok": self.price.input_usd * 1e6,
            "output_usd_per_mtok": self.price.output_usd * 1e6,
            "cached_input_usd_per_mtok": self.price.cached_usd * 1e6,
            "work": None if self.work is None else self.work.model_dump(),
        }


NO_TARIFF: Final = Tariff()


def tariff_of(config: LocalPrice | None, work: Work | None = None) -> Tariff:
    """The price of local tokens: as configured, else as measured, else from the starting rate."""
    if config is None:
        return Tariff(work=work)
    if config.is_measured and work is not None and work.busy_s > 0:
        basis, (input_per_s, output_per_s) = Basis.MEASURED, _measured(config, work)
    else:
        basis = Basis.STARTING if config.is_measured else Basis.CONFIGURED
        input_per_s, output_per_s = _given(config)
    price = _price(config, input_per_s, output_per_s)
    return Tariff(price, basis, work, input_per_s / output_per_s)


def _price(config: LocalPrice, input_per_s: float, output_per_s: float) -> Price:
    """A prompt's cached part is not computed again and costs nothing."""
    second_usd = config.replica_hour_usd / _HOUR_S
    return Price(second_usd / input_per_s, second_usd / output_per_s, 0.0)


def _given(config: LocalPrice) -> tuple[float, float]:
    """Prompt and generated tokens per second; where one is left out, it follows by the weight."""
    weight = config.input_tokens_per_output_token
    output_per_s = config.output_tokens_per_s
    if output_per_s is None:
        given = config.input_tokens_per_s
        output_per_s = config.starting_output_tokens_per_s if given is None else given / weight
    return config.input_tokens_per_s or output_per_s * weight, output_per_s


def _measured(config: LocalPrice, work: Work) -> tuple[float, float]:
    weight, start = config.input_tokens_per_output_token, config.starting_output_tokens_per_s
    if config.measure_ratio and work.ratio is not None:
        weight = work.ratio
    output_per_s = (work.input_tokens / weight + work.output_tokens) / work.busy_s
    output_per_s = min(max(output_per_s, _SLOWEST * start), _FASTEST * start)
    return output_per_s * weight, output_per_s


class LocalPricing:
    """The tariff for requests that come now; replaced by one assignment, never changed."""

    def __init__(self, config: LocalPrice | None) -> None:
        self._config = config
        self.current = tariff_of(config)

    def heard(self, work: Work | None) -> None:
        """Take what the engines did lately; None (nobody knows yet) changes nothing."""
        if work is not None and work != self.current.work:
            self.recall(work)

    def recall(self, work: Work | None) -> None:
        """Price by exactly this, for who decides again as of an earlier moment."""
        self.current = tariff_of(self._config, work)
