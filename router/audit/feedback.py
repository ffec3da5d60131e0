"""What a client says of an answer afterwards."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapters.resources import first_problem
from router.errors import InvalidRequest

Kind = Literal["boolean", "float", "comment", "demonstration"]


class Feedback(BaseModel):
    """One judgement of one decision's answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    decision_id: str = Field(min_length=1, max_length=128)
    kind: Kind
    value: Any

    @model_validator(mode="after")
    def _value_fits_kind(self) -> Feedback:
        fits = {
            "boolean": isinstance(self.value, bool),
            "float": isinstance(self.value, int | float) and not isinstance(self.value, bool),
            "comment": isinstance(self.value, str),
            "demonstration": isinstance(self.value, str | dict | list),
        }
        if not fits[self.kind]:
            raise ValueError(f"value does not fit kind {self.kind!r}")
        return self


def parse(raw: bytes) -> Feedback:
    """Read a feedback body. Raises ``InvalidRequest``."""
    try:
        return Feedback.model_validate_json(raw)
    except ValidationError as error:
        field, what = first_problem(error)
        raise InvalidRequest(f"{field or 'body'}: {what}.", param=field) from error
