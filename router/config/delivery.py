"""How hard the router tries to get an answer, and when it stops trying."""

from __future__ import annotations

from pydantic import Field

from router.config.section import Section


class TimeoutsConfig(Section):
    """Bounds of one call of one target. The whole request is bounded by
    `limits.request_timeout_s` and by the client's `x-graftwork-timeout-ms`.
    """

    first_token_s: float = Field(
        default=120.0, gt=0, description="until the first content of a stream, seconds"
    )
    whole_answer_s: float = Field(
        default=300.0, gt=0, description="until an answer that is not streamed is here, seconds"
    )
    idle_s: float = Field(
        default=60.0,
        gt=0,
        description="between two events of a stream, or two reads of a body, seconds",
    )
    share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="part of the time left that a call may wait for its answer while another "
        "target could still be asked",
    )


class RetryConfig(Section):
    """When a request is tried again."""

    max_attempts: int = Field(
        default=6, ge=1, le=64, description="calls of targets for one request, all together"
    )
    same_target: int = Field(
        default=1, ge=0, description="further calls of the target that failed, per request"
    )
    backoff_s: float = Field(
        default=0.1, gt=0, description="bound of the first random pause before a retry, seconds"
    )
    backoff_max_s: float = Field(default=2.0, gt=0, description="bound of later pauses, seconds")
    wait_s: float = Field(
        default=1.0,
        ge=0,
        description="longest Retry-After that is waited for while another target could be asked, "
        "seconds",
    )
    patience_s: float = Field(
        default=20.0,
        ge=0,
        description="longest that one request waits in all before further calls, where nobody "
        "else could be asked; then the client hears the Retry-After, seconds",
    )
    budget_ratio: float = Field(
        default=0.2, ge=0, description="retries and hedges of a target per request to it"
    )
    budget_per_s: float = Field(
        default=1.0, ge=0, description="retries and hedges of a target per second, in any case"
    )
    budget_burst: float = Field(
        default=10.0, ge=1, description="retries and hedges of a target that can be saved up"
    )


class BreakerConfig(Section):
    """When a target is left alone for a while."""

    consecutive: int = Field(default=5, ge=1, description="failures in a row that open it")
    error_rate: float = Field(
        default=0.5, gt=0, le=1, description="share of failures in the window that opens it"
    )
    window_s: float = Field(default=30.0, gt=0, description="over which the share is taken, s")
    min_calls: int = Field(default=20, ge=1, description="calls in the window before it counts")
    open_s: float = Field(
        default=10.0, gt=0, description="left alone for so long at first, seconds, +-20 %"
    )
    open_max_s: float = Field(
        default=120.0, gt=0, description="and so long at most when it keeps failing, seconds"
    )
    probes: int = Field(default=1, ge=1, description="calls at once while half open")
    close_after: int = Field(default=2, ge=1, description="good probes in a row that close it")


class HedgeConfig(Section):
    """A second call when the first is slower than usual. Off unless enabled."""

    enabled: bool = Field(default=False, description="ask a second target when the first is slow")
    models: frozenset[str] = Field(
        default=frozenset(),
        description="values of `model` that are hedged (`auto`, an alias, `<provider>/<model>`); "
        "none named: all",
    )
    percentile: float = Field(
        default=0.95, gt=0, lt=1, description="of the target's time to first content"
    )
    min_samples: int = Field(
        default=20, ge=1, le=128, description="measured calls before anything is hedged"
    )
    min_delay_s: float = Field(
        default=0.05, ge=0, description="never hedge before so many seconds have passed"
    )


class RescueConfig(Section):
    """Continuing a broken stream on another target."""

    enabled: bool = Field(default=True, description="go on elsewhere when a stream breaks")
    max_rescues: int = Field(default=2, ge=0, description="continuations of one stream")
    max_chars: int = Field(
        default=200_000, ge=1, description="longer answers are not continued, characters"
    )


class DeliveryConfig(Section):
    """Timeouts, retries, breakers, hedges and rescue."""

    timeouts: TimeoutsConfig = TimeoutsConfig()
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    hedge: HedgeConfig = HedgeConfig()
    rescue: RescueConfig = RescueConfig()
    max_answer_bytes: int = Field(
        default=128 * 1024 * 1024, ge=1024, description="largest answer that is not streamed"
    )
