"""Settings of the learning loop: `flywheel` in the deploy file, beside `router`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.registry.records import Stage


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReviewsConfig(_Section):
    """How reviewers work."""

    per_item: int = Field(default=1, ge=1, le=9, description="verdicts that settle a review")
    lock_s: float = Field(
        default=900.0, gt=0, description="a claim that nobody finishes is free again after, seconds"
    )
    queue: int = Field(
        default=10_000,
        ge=1,
        description="exchanges that wait for a reviewer; when there are more, those that are worth"
        " least in the intents that have most stay outside",
    )
    check_share: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="items with a known answer among those that are open: they measure reviewers",
    )
    keep_days: float = Field(
        default=30.0,
        ge=0,
        description="what a rule's review kept without consent goes so long after it is done",
    )
    escalated_days: float = Field(
        default=14.0,
        gt=0,
        description="what nobody else judged so long after it was escalated is closed, unanswered",
    )


class CorpusConfig(_Section):
    """How many captured exchanges are kept; what is in review or gold never goes for new ones."""

    max_exchanges: int = Field(default=200_000, ge=1, description="then the least worth goes")
    max_mb: int = Field(default=2048, ge=1, description="of their texts, MiB")
    import_max_mb: int = Field(default=256, ge=1, description="of one imported file, MiB")


class OutcomesConfig(_Section):
    """Outcomes of answers, from which it is learned how hard requests are."""

    max_rows: int = Field(
        default=50_000, ge=1, description="imported outcomes that are kept; then the oldest go"
    )
    import_max_mb: int = Field(default=64, ge=1, description="of one imported table, MiB")
    refit_s: float = Field(
        default=600.0, gt=0, description="how often reviews, feedback and gates are looked at"
    )


class DatasetsConfig(_Section):
    """How gold answers become datasets."""

    holdout: float = Field(
        default=0.2, ge=0, lt=1, description="share of an intent's rows that is only tested on"
    )
    replay: float = Field(
        default=0.0,
        ge=0,
        le=0.9,
        description="share of other intents' rows in what trains, against forgetting",
    )
    max_rows: int = Field(default=50_000, ge=1, description="rows of one dataset, at most")
    max_datasets: int = Field(default=1000, ge=1, description="datasets kept, at most")
    max_erased: int = Field(
        default=10_000,
        ge=1,
        description="erased datasets of which is known that they were, and what replaced them, at "
        "most; the oldest go",
    )
    max_import_mb: float = Field(default=64.0, gt=0, description="size of an import, at most")


Grader = Literal["auto", "exact", "match", "words", "numeric", "json", "judge"]
"""How an answer is compared with the accepted one (docs/gate.md)."""


class GateConfig(_Section):
    """The test that a new version has to pass."""

    margin: float = Field(
        default=0.05, ge=0, lt=1, description="how much worse than the present target it may be"
    )
    alpha: float = Field(
        default=0.01, gt=0, lt=0.5, description="chance to pass a version that is worse by `margin`"
    )
    min_power: float = Field(
        default=0.8,
        gt=0,
        lt=1,
        description="chance to pass a version that is as good; with less the gate does not judge",
    )
    grader: Grader = Field(
        default="auto",
        description="`exact`, `match` (case, spaces and punctuation aside), `words` (most words "
        "and all numbers), `numeric`, `json` (share of fields), `judge` (a model), or `auto`: by "
        "the accepted answer's form",
    )
    judge: str | None = Field(
        default=None, description="with `grader: judge`, who judges: `provider/model`"
    )
    max_items: int = Field(default=1000, ge=10, description="held-out items asked, at most")
    max_tokens: int = Field(default=512, ge=1, description="tokens of one answer, at most")
    stall_s: float = Field(
        default=600.0,
        gt=0,
        description="a test in which no answer comes for so long ends, and is made again later, "
        "seconds; meanwhile other versions of the alias have their turn",
    )
    limit_s: float = Field(
        default=7200.0, gt=0, description="so does one that takes longer than this, seconds"
    )

    @model_validator(mode="after")
    def _has_a_judge(self) -> GateConfig:
        if self.grader == "judge" and not self.judge:
            raise ValueError("grader `judge` needs `judge`: the provider/model that judges")
        return self


class TriggersConfig(_Section):
    """What starts a distillation by itself; null: nothing does."""

    new_gold: int | None = Field(default=None, ge=1, description="gold answers since the last one")
    quality_drop: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="fall of the live quality below the gate's, beyond doubt; the version is taken "
        "back as well",
    )
    drift: bool = Field(
        default=False, description="what is asked or answered is not as it was the week before"
    )
    every_h: float | None = Field(
        default=None, gt=0, description="hours since the last one, when there is new gold"
    )
    cooldown_s: float = Field(
        default=600.0,
        ge=0,
        description="no distillation starts by itself so soon after the last one ended, seconds",
    )


class TrainerConfig(_Section):
    """What a training may take, so that serving keeps its share."""

    gpus: float | None = Field(
        default=None,
        ge=0,
        description="GPUs of one training, or a part of one that an engine leaves; 0: the CPU of "
        "the registry's machine; null: a whole one where Ray has it free, else the CPU",
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads; null: all cores but one"
    )
    nice: int = Field(
        default=10, ge=0, le=19, description="priority of the process: 19 yields most"
    )
    memory_mb: int | None = Field(
        default=None, ge=256, description="data of the process on the CPU, MiB; null: no limit"
    )
    checkpoint_s: float = Field(
        default=15.0, gt=0, description="work that a killed trainer loses at most, seconds"
    )
    signing_key: Path | None = Field(
        default=None, description="PEM of the ed25519 key that signs what was trained"
    )


class LearningRouteConfig(_Section):
    """What becomes of one intent's traffic."""

    alias: str = Field(description="the adapter that learns it")
    gate: GateConfig | None = Field(
        default=None, description="null: versions of the alias serve without a gate"
    )
    ladder: tuple[Stage, ...] = Field(
        default=("live",), min_length=1, description="steps after the gate, in order"
    )
    triggers: TriggersConfig = TriggersConfig()


class FlywheelConfig(_Section):
    """The learning loop."""

    corpus: CorpusConfig = CorpusConfig()
    reviews: ReviewsConfig = ReviewsConfig()
    outcomes: OutcomesConfig = OutcomesConfig()
    datasets: DatasetsConfig = DatasetsConfig()
    trainer: TrainerConfig = TrainerConfig()
    routes: dict[str, LearningRouteConfig] = Field(
        default_factory=dict, description="by intent; without one an intent's alias has its name"
    )

    @property
    def learns(self) -> dict[str, tuple[str, ...]]:
        """Intents by the alias that learns them."""
        aliases = {route.alias for route in self.routes.values()}
        return {
            alias: tuple(name for name, route in self.routes.items() if route.alias == alias)
            for alias in sorted(aliases)
        }

    @property
    def ladders(self) -> dict[str, tuple[Stage, ...]]:
        """Steps after the gate by the alias that climbs them."""
        return {route.alias: route.ladder for route in self.routes.values()}
