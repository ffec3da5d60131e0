"""What deciding adds to a request's record: needs, how it was decided, how sure the answer is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from adapters.evaluation import GateResult
from router.prices import Tariff

ESCALATED: Final = "escalated"
"""Outcome of an attempt whose answer was good, but not good enough."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of whoever answers it; read from the body once."""

    input_tokens: int = 0
    """Estimated from the UTF-8 bytes of everything that the model reads."""
    max_output_tokens: int | None = None
    """The client's own bound on the answer."""
    features: frozenset[str] = frozenset()
    """Of ``tools``, ``json_schema``, ``vision``, ``logprobs``."""
    images: int = 0
    """Pictures in it."""
    inline_bytes: int = 0
    """Encoded pictures and files in the body itself."""
    parts: frozenset[str] = frozenset()
    """The types of its items and content parts."""

    def output_tokens(self, expected: float) -> float:
        """Tokens to expect when a target's answers have ``expected`` on average."""
        bound = self.max_output_tokens
        return expected if bound is None else min(expected, bound)


@dataclass(slots=True)
class Decided:
    """How the options came to be ordered as they are."""

    how: str = "none"
    """``named``, ``ranked``, ``session`` or ``explored``."""
    route: str = ""
    """The name of the route whose settings applied; empty for the default one."""
    risk: float | None = None
    """The route's bound on the expected error."""
    policy_version: str = ""
    wanted: str | None = None
    """The target that would have been asked first, had an engine held it."""
    tariff: Tariff = field(default_factory=Tariff)
    """What local tokens cost this request."""
    claims: dict[str, list[str]] = field(default_factory=dict)
    """The adapters that were considered, by alias, with the intents that they are for."""
    gates: dict[str, GateResult] = field(default_factory=dict)
    """What gates found about them, by target, as far as it is about this request's intents."""

    def record(self) -> dict[str, Any]:
        """As the decision record has it."""
        return {
            "how": self.how,
            "route": self.route,
            "risk": self.risk,
            "policy_version": self.policy_version,
            "claims": self.claims,
            "gates": {
                name: gate.model_dump(exclude_none=True) for name, gate in self.gates.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Assurance:
    """What the token probabilities of an answer say about it."""

    target: str
    tokens: int
    mean_logprob: float
    min_logprob: float
    entropy: float | None
    """Mean over positions, nats, of the alternatives that the engine told; None without any."""
    probability: float
    """P(correct), 0 to 1."""
    calibrated: bool
    """Whether feedback stands behind the probability, or only the default map."""

    def record(self) -> dict[str, Any]:
        """As the decision record has it."""
        return {
            "target": self.target,
            "tokens": self.tokens,
            "mean_logprob": self.mean_logprob,
            "min_logprob": self.min_logprob,
            "entropy": self.entropy,
            "probability": self.probability,
            "calibrated": self.calibrated,
        }
