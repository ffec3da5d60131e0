"""Safety: what may be asked, what may be answered, and who else is asked about both."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from router.config.policy import EVERYTHING, Globs
from router.config.section import Section


class GuardFormat(StrEnum):
    """How a guard model is asked, and how it answers."""

    AUTO = "auto"
    """ShieldGemma's where the model is called so, else Llama Guard's; any known answer is read."""
    LLAMA_GUARD = "llama_guard"
    SHIELDGEMMA = "shieldgemma"


class GuardConfig(Section):
    """A model of a configured provider that is asked about every prompt and every answer.

    It gets what the rules for personal data let its provider have.
    """

    provider: str = Field(description="name of a configured provider")
    model: str = Field(min_length=1, description="its id there; need not be among its `models`")
    format: GuardFormat = Field(
        default=GuardFormat.AUTO, description="how it is asked and answers; auto: by its name"
    )
    output: bool = Field(default=True, description="ask about answers, too")
    timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="a request whose guard has not answered by then is refused, seconds",
    )
    threshold: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="probability of a violation from which ShieldGemma's answer is one",
    )
    window_chars: int = Field(
        default=1500,
        ge=100,
        le=4000,
        description="of a streamed answer, how much is held back until the guard saw it",
    )


class SafetyAction(StrEnum):
    """What becomes of a request in which something was found."""

    BLOCK = "block"
    """403 `content_policy_violation`."""
    FLAG = "flag"
    """It goes on; header, record and metrics say what was found."""
    OFF = "off"
    """It is not looked for."""


class TopicConfig(Section):
    """A topic that is off limits: recognised by words, or by likeness to examples."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=64,
        description="what decisions and metrics call it",
    )
    words: tuple[str, ...] = Field(default=(), description="whole words or phrases, any case")
    examples: tuple[str, ...] = Field(default=(), description="what somebody would ask")
    routes: Globs = Field(
        default=EVERYTHING, description="globs over intents; `none` is that of no intent"
    )
    message: str = Field(default="", description="told to the client in place of the usual words")
    likeness: float = Field(
        default=0.8, gt=0, le=1, description="cosine to an example from which a text is about it"
    )

    @model_validator(mode="after")
    def _can_be_recognised(self) -> TopicConfig:
        if not self.words and not self.examples:
            raise ValueError(f"topic {self.name}: give words or examples")
        return self


class SafetyConfig(Section):
    """What may be asked, what may be answered, and who else is asked about both."""

    enabled: bool = Field(default=True, description="look at prompts and answers at all")
    harm: SafetyAction = Field(
        default=SafetyAction.BLOCK, description="requests for help in hurting people"
    )
    injection: SafetyAction = Field(
        default=SafetyAction.BLOCK,
        description="users who tell the model to forget what it was told, or to show it",
    )
    untrusted: SafetyAction = Field(
        default=SafetyAction.BLOCK,
        description="the same in what tools found; documents that have it are left out",
    )
    answers: SafetyAction = Field(
        default=SafetyAction.BLOCK, description="answers that help to hurt people"
    )
    guard: GuardConfig | None = None
    topics: tuple[TopicConfig, ...] = ()

    @model_validator(mode="after")
    def _topics_are_distinct(self) -> SafetyConfig:
        names = [topic.name for topic in self.topics]
        if len(names) != len(set(names)):
            raise ValueError(f"topics must have distinct names, got {names}")
        return self
