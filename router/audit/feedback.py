"""What a client says of an answer afterwards."""

from __future__ import annotations

from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapters.resources import first_problem
from router.errors import InvalidRequest

_MAX_NUMBER: Final = 1e15
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
            "float": _is_number(self.value),
            "comment": isinstance(self.value, str),
            "demonstration": isinstance(self.value, str | dict | list),
        }
        if not fits[self.kind]:
            raise ValueError(f"value does not fit kind {self.kind!r}")
        if _says_nothing(self.value):
            raise ValueError(f"value is empty: a {self.kind} says something")
        try:
            orjson.dumps(self.value)
        except orjson.JSONEncodeError as error:
            raise ValueError(f"value cannot be kept: {error}") from error
        return self


def _says_nothing(value: Any) -> bool:
    """A blank text, or a message or list of them without anything in it."""
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | dict) and not value


def _is_number(value: Any) -> bool:
    """One that can be added to others."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _MAX_NUMBER


def parse(raw: bytes) -> Feedback:
    """Read a feedback body. Raises ``InvalidRequest``."""
    try:
        return Feedback.model_validate(orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid JSON: {error}.", code="invalid_json"
        ) from error
    except ValidationError as error:
        field, what = first_problem(error)
        raise InvalidRequest(f"{field or 'body'}: {what}.", param=field) from error
