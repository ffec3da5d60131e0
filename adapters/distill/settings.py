"""What may be asked of a training, and what is taken where nothing was asked.

Defaults follow the size of the base and the number of examples. A small base needs a high rate and
many passes, since it hardly knows the language of the task; a large one forgets at such a rate.
The figures behind them are in decision 0041.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

ALL_LINEAR = "all-linear"
MAX_STEPS = 1_000_000

_Name = Annotated[str, Field(min_length=1, max_length=256)]


class TrainingSettings(BaseModel):
    """``settings`` of a distillation. Null: by the size of base and data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int | None = Field(default=None, ge=1, le=512, description="of the LoRA")
    alpha: float | None = Field(
        default=None, gt=0, le=4096, allow_inf_nan=False, description="its scale times the rank"
    )
    rate: float | None = Field(
        default=None, gt=0, le=1, allow_inf_nan=False, description="highest learning rate"
    )
    epochs: float | None = Field(
        default=None, gt=0, le=1000, allow_inf_nan=False, description="passes over the examples"
    )
    steps: int | None = Field(
        default=None, ge=1, le=MAX_STEPS, description="at most so many updates; before `epochs`"
    )
    batch_tokens: int | None = Field(
        default=None, ge=16, le=1 << 20, description="tokens computed at once"
    )
    accumulation: int = Field(
        default=1, ge=1, le=1024, description="batches whose gradients make one update"
    )
    target_modules: Literal["all-linear"] | tuple[_Name, ...] = Field(
        default="all-linear", description="what the LoRA changes"
    )
    max_length: int | None = Field(
        default=None, ge=16, le=1 << 20, description="longer examples are left out, tokens"
    )
    validation: float = Field(
        default=0.1, ge=0, le=0.5, description="share of the training part that is held out"
    )
    patience: int = Field(
        default=4, ge=1, le=1000, description="looks at the held-out loss without a better one"
    )
    kl: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="weight of the distance to the teacher's own log-probabilities; 0: none",
    )
    packing: bool | None = Field(
        default=None, description="several examples in one row, blind to each other; null: on GPUs"
    )
    search: int = Field(
        default=0, ge=0, le=16, description="so many settings are tried on a part of the steps"
    )
    seed: int = Field(default=7, ge=0, lt=1 << 31, description="of order and first weights")


class _Default(NamedTuple):
    below: float
    """Parameters of the bases that it is for."""
    rate: float
    epochs: float
    cpu_tokens: int
    """Of a batch on the CPU."""


_DEFAULTS = (
    _Default(30e6, 3e-3, 20.0, 256),
    _Default(500e6, 1e-3, 5.0, 512),
    _Default(2e9, 3e-4, 3.0, 1024),
    _Default(math.inf, 2e-4, 3.0, 1024),
)
_ON_GPU_TOKENS = 4096
_MOST_STEPS = 1000
"""Where nobody asked for more; one pass there is in any case."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings with nothing left open."""

    rank: int
    alpha: float
    rate: float
    steps: int
    batch_tokens: int
    accumulation: int
    target_modules: str | tuple[str, ...]
    max_length: int
    patience: int
    look_every: int
    """Steps between two looks at the held-out loss."""
    kl: float
    packing: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the defaults depend on."""

    parameters: int
    """Of the base."""
    window: int
    """Tokens that the base was made for."""
    examples: int
    tokens: int
    """Of all examples together."""
    max_rank: int
    """The most that the engines serve."""
    on_gpu: bool


def planned(settings: TrainingSettings, sizes: Sizes) -> Plan:
    """The settings completed. A rank above what the engines serve is cut to that."""
    default = next(row for row in _DEFAULTS if sizes.parameters < row.below)
    rank = min(settings.rank or 16, sizes.max_rank)
    batch_tokens = settings.batch_tokens or (_ON_GPU_TOKENS if sizes.on_gpu else default.cpu_tokens)
    once = max(1.0, sizes.tokens / (batch_tokens * settings.accumulation))
    passes = settings.epochs or default.epochs
    most = MAX_STEPS if settings.epochs else max(_MOST_STEPS, round(once))
    steps = settings.steps or max(1, min(most, round(once * passes)))
    return Plan(
        rank=rank,
        alpha=settings.alpha or 2.0 * rank,
        rate=settings.rate or default.rate,
        steps=steps,
        batch_tokens=batch_tokens,
        accumulation=settings.accumulation,
        target_modules=settings.target_modules,
        max_length=min(settings.max_length or sizes.window, sizes.window),
        patience=settings.patience,
        look_every=max(5, steps // 20),
        kl=settings.kl,
        packing=sizes.on_gpu if settings.packing is None else settings.packing,
        seed=settings.seed,
    )
