"""What routers send the corpus: exchanges, and what became known of a request afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from adapters.corpus.exchange import Exchange

MAX_LINE_BYTES: Final = 2 * 2**20


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What is known of a request afterwards."""

    decision_id: str
    names: tuple[str, ...]
    """Signals."""
    details: Mapping[str, Any] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    """Keyed hashes of the persons whose data the request carries."""
    at: float = 0.0
    """When it became known, seconds since the epoch."""


Entry = Exchange | Afterwards


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["exchange", "afterwards"]
    entry: dict[str, Any]


_ENTRIES: Final[Mapping[str, TypeAdapter[Any]]] = {
    "exchange": TypeAdapter(Exchange),
    "afterwards": TypeAdapter(Afterwards),
}


def to_line(entry: Entry) -> bytes:
    """One entry as a line of JSON, without its end."""
    kind = "exchange" if isinstance(entry, Exchange) else "afterwards"
    return orjson.dumps({"kind": kind, "entry": asdict(entry)})


def from_line(line: bytes) -> Entry:
    """The entry of a line. Raises ``ValueError`` for anything else."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"a line has more than {MAX_LINE_BYTES} bytes")
    try:
        read = _Line.model_validate_json(line)
        entry: Entry = _ENTRIES[read.kind].validate_python(read.entry)
    except ValidationError as error:
        # The error's own text repeats what was said.
        raise ValueError(f"not an entry of the corpus: {error.error_count()} problems") from None
    return entry


def subjects_of(line: bytes) -> frozenset[str]:
    """Whose data a line carries. Raises ``ValueError`` when it is no entry."""
    return frozenset(from_line(line).subjects)
