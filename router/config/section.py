"""What every section of the configuration has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Read once, never changed; a field that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
