"""What preflight is told and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from pydantic import BaseModel, ConfigDict

from adapters.errors import CheckResult, RejectedError
from adapters.format.files import reason
from adapters.format.safetensors import HeaderLimits

_MAX_SHOWN_CHARACTERS = 600
_MAX_SUMMED_UP = 5
_MAX_ITEM_BYTES = 256 << 10
_MAX_MINDED_BYTES = 16 << 10
"""Of what a check that passed did not mind: it is kept with the version."""


class PreflightLimits(BaseModel):
    """What the server accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_lora_rank: int = 64
    """The engine's own ``max_lora_rank``."""
    max_total_bytes: int = 4 << 30
    """All files of a version together."""
    max_files: int = 256
    """Files and directories of a version; what training left behind does not count."""
    max_config_bytes: int = 1 << 20
    """Of ``adapter_config.json``, and of the manifest."""
    max_metadata_bytes: int = 256 << 10
    """Of ``__metadata__`` in the safetensors header, keys and values together."""
    max_tokenizer_bytes: int = 64 << 20
    """Of each tokenizer file that is read."""
    max_magnitude: float = 1024.0
    """Largest absolute weight. Trained adapters stay far below 10."""
    max_scale: float = 1024.0
    """Largest alpha / rank (alpha / sqrt(rank) with rsLoRA)."""
    header: HeaderLimits = HeaderLimits()
    taken_names: frozenset[str] = frozenset()
    """What else a request's ``model`` may name, the base apart: providers, virtual models."""
    require_signature: bool = False
    """Refuse a version whose manifest is not signed by one of ``public_keys``."""
    public_keys: tuple[str, ...] = ()
    """ed25519 keys, PEM or base64 of the 32 raw bytes; a signature of any one of them will do."""


class Report(BaseModel):
    """All checks of one directory."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    checks: tuple[CheckResult, ...]

    @classmethod
    def of(cls, checks: Iterable[CheckResult]) -> Report:
        """A report that is ok when every check is."""
        results = tuple(checks)
        return cls(ok=all(check.ok for check in results), checks=results)

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.ok)

    def raise_if_failed(self) -> None:
        """Raise ``RejectedError`` with every check unless all passed."""
        if not self.ok:
            raise RejectedError(self.checks)


@dataclass(frozen=True)
class Finding:
    """What one check says; the runner adds its name."""

    ok: bool
    found: str = ""
    expected: str = ""
    message: str = ""
    items: tuple[str, ...] = ()


class NotChecked(Exception):
    """A check cannot run; the text says why."""


def passed(found: object = "", expected: object = "", items: Iterable[object] = ()) -> Finding:
    """A check that found what it expected; ``items`` is what it did not mind."""
    return Finding(True, str(found), str(expected), items=_complete(items, _MAX_MINDED_BYTES))


def failed(found: object, expected: object, message: str, items: Iterable[object] = ()) -> Finding:
    """A check that did not; ``message`` is a sentence for the person who pushed.

    Without ``found`` the first few of ``items`` stand for all of them.
    """
    listed = _complete(items)
    said = reason(found) if isinstance(found, Exception) else str(found) or some(listed)
    return Finding(False, said, str(expected), message, listed)


def verdict(problems: Iterable[str], expected: object, message: str) -> Finding:
    """Passed without problems; otherwise failed with each of them."""
    listed = list(problems)
    return failed("", expected, message, listed) if listed else passed("", expected)


def some(items: Iterable[object]) -> str:
    """The first few items as text, and how many more there are."""
    listed = [str(item) for item in items]
    more = len(listed) - _MAX_SUMMED_UP
    shown = "; ".join(listed[:_MAX_SUMMED_UP])
    return f"{shown}; and {more} more" if more > 0 else shown


def clipped(text: str) -> str:
    """Text short enough for an answer."""
    if len(text) <= _MAX_SHOWN_CHARACTERS:
        return text
    return text[:_MAX_SHOWN_CHARACTERS] + "…"


def _complete(items: Iterable[object], max_bytes: int = _MAX_ITEM_BYTES) -> tuple[str, ...]:
    """Every item, as long as their answer can be sent and kept at all."""
    listed = [clipped(str(item)) for item in items]
    sizes = accumulate(len(item.encode(errors="replace")) for item in listed)
    fits = sum(size <= max_bytes for size in sizes)
    more = len(listed) - fits
    return (*listed[:fits], *([f"and {more} more"] if more > 0 else ()))
