"""What a gate, or whoever tested a version, writes into the manifest's ``evaluation``.

    "evaluation": {
      "gate": {
        "passed": true,
        "good": 371, "judged": 400,
        "intents": {"returns": {"good": 182, "judged": 200}}
      }
    }

``good`` of ``judged`` answers were good: of all that were tested, and of those to each intent.
Counts need not be whole, since a judgement may be a share. Only ``passed`` must be there. Unknown
keys are allowed, here and beside ``gate``: a gate may write down whatever else it measured.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

GATE = "gate"
EXAMPLE = '{"passed": true, "intents": {"returns": {"good": 182, "judged": 200}}}'
_MAX_INTENTS = 256
"""Routers hold the results of every version (law 9)."""

_Count = Annotated[float, Field(ge=0, le=1e12, strict=True, allow_inf_nan=False)]
_Intent = Annotated[str, Field(min_length=1, max_length=128)]


class Tally(BaseModel):
    """How many of the judged answers were good."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    good: _Count
    judged: Annotated[_Count, Field(gt=0)]

    @model_validator(mode="after")
    def _is_a_share(self) -> Self:
        if self.good > self.judged:
            raise ValueError(f"{self.good:g} good answers of {self.judged:g} judged")
        return self

    def __str__(self) -> str:
        return f"{self.good:g} of {self.judged:g} good"


class GateResult(BaseModel):
    """What a gate found about one version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    passed: StrictBool
    good: _Count | None = None
    judged: Annotated[_Count, Field(gt=0)] | None = None
    intents: Annotated[dict[_Intent, Tally], Field(max_length=_MAX_INTENTS)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if (self.good is None) is not (self.judged is None):
            raise ValueError("good and judged belong together")
        _ = self.overall
        return self

    @property
    def overall(self) -> Tally | None:
        """Over everything that was tested."""
        if self.good is None or self.judged is None:
            return None
        return Tally(good=self.good, judged=self.judged)

    def about(self, intents: Container[str]) -> GateResult:
        """The same without the results for other intents."""
        kept = {name: tally for name, tally in self.intents.items() if name in intents}
        return self.model_copy(update={"intents": kept})


def gate_result(evaluation: Mapping[str, Any]) -> GateResult | None:
    """What the gate wrote down, if one did. Raises ``ValueError``, naming the field."""
    section = evaluation.get(GATE)
    if section is None:
        return None
    try:
        return GateResult.model_validate(section)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(("evaluation", GATE, *(str(part) for part in problem["loc"])))
        raise ValueError(f"{field}: {problem['msg']}") from error
