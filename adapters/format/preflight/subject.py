"""The directory under test, each file read once, and what a check of it may find.

Each failure is kept for the check that owns it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from adapters.errors import AdapterError, CheckResult, RejectedError
from adapters.format.base_model import BaseFacts
from adapters.format.checkpoint import MAX_ENTRIES, Selection, select
from adapters.format.files import Entry, parse_json_object, read_bounded, reason, walk
from adapters.format.manifest import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Manifest,
    digest_directory,
    read_manifest,
)
from adapters.format.safetensors import (
    Header,
    HeaderLimits,
    TensorInfo,
    TensorStats,
    read_header,
    scan,
)

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


PREFIX = "base_model.model."
_LORA_TENSOR = re.compile(
    r"(?P<module>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.lora_(?P<side>[AB])\.weight"
)

T = TypeVar("T")


class LoraTensor(NamedTuple):
    """A tensor whose name follows the grammar."""

    module: str
    """Full path of the module in the base, without ``base_model.model.``."""
    side: str
    """``A`` or ``B``."""
    info: TensorInfo


class Subject:
    """One PEFT directory, the base it must fit, and the limits.

    ``*_outcome`` is the value or the exception that reading it raised, for the check that reports
    it; the plain name raises ``NotChecked`` instead, for the checks that merely depend on it.
    """

    def __init__(
        self, path: Path, base: BaseFacts | None, limits: PreflightLimits, alias: str | None
    ) -> None:
        self.path = path
        self.limits = limits
        self.alias = alias
        self._base = base
        self._memory: dict[str, object] = {}

    def once(self, key: str, compute: Callable[[], T]) -> T:
        """What ``compute`` says, computed once per key."""
        if key not in self._memory:
            self._memory[key] = compute()
        return cast(T, self._memory[key])

    @property
    def base(self) -> BaseFacts:
        if self._base is None:
            raise NotChecked("no base was given")
        return self._base

    @property
    def has_base(self) -> bool:
        return self._base is not None

    @cached_property
    def tree(self) -> list[Entry]:
        """Everything in the directory, at most one more than ``MAX_ENTRIES``."""
        return walk(self.path, MAX_ENTRIES)

    @cached_property
    def selection(self) -> Selection:
        """What of it is the adapter."""
        return select((e.relative for e in self.tree if not e.is_directory), self.alias)

    @cached_property
    def entries(self) -> list[Entry]:
        """The files of the adapter, and those that make it suspicious."""
        kept = set(self.selection.kept)
        return [entry for entry in self.tree if entry.relative in kept]

    @cached_property
    def counted(self) -> list[Entry]:
        """What counts towards the adapter's size: all but training state and its folders."""
        taken = self.selection.taken
        left = _parents(self.selection.state) - _parents(taken)
        return [
            e
            for e in self.tree
            if e.relative in taken or (e.is_directory and e.relative not in left)
        ]

    @cached_property
    def config_outcome(self) -> dict[str, Any] | Exception:
        path, limit = self.path / CONFIG_FILE, self.limits.max_config_bytes
        return _attempt(lambda: parse_json_object(read_bounded(path, limit)))

    @property
    def config(self) -> Mapping[str, Any]:
        return _usable(self.config_outcome, "adapter-config")

    @cached_property
    def header_outcome(self) -> Header | Exception:
        return _attempt(lambda: read_header(self.path / WEIGHTS_FILE, self.limits.header))

    @property
    def header(self) -> Header:
        return _usable(self.header_outcome, "safetensors-header")

    @cached_property
    def _stats_outcome(self) -> dict[str, TensorStats] | Exception:
        return _attempt(lambda: scan(self.path / WEIGHTS_FILE, self.header))

    @property
    def stats(self) -> Mapping[str, TensorStats]:
        return _usable(self._stats_outcome, "safetensors-header")

    @cached_property
    def manifest_outcome(self) -> Manifest | Exception | None:
        return _attempt(lambda: read_manifest(self.path))

    @property
    def manifest(self) -> Manifest | None:
        return _usable(self.manifest_outcome, "manifest")

    @cached_property
    def _digest_outcome(self) -> str | Exception:
        return _attempt(lambda: digest_directory(self.path))

    @property
    def digest(self) -> str:
        return _usable(self._digest_outcome, "files-present and adapter-config")

    @cached_property
    def loras(self) -> tuple[LoraTensor, ...]:
        """Tensors with the right grammar and prefix."""
        parsed = (_lora_tensor(info) for info in self.header.tensors.values())
        return tuple(tensor for tensor in parsed if tensor is not None)

    @cached_property
    def pairs(self) -> dict[str, dict[str, TensorInfo]]:
        """Module path -> side -> tensor."""
        pairs: dict[str, dict[str, TensorInfo]] = {}
        for module, side, info in self.loras:
            pairs.setdefault(module, {})[side] = info
        return pairs


def _parents(names: Iterable[str]) -> set[str]:
    return {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}


def follows_grammar(name: str) -> bool:
    """Whether a tensor is named ``<module path>.lora_A.weight`` or ``….lora_B.weight``."""
    return _LORA_TENSOR.fullmatch(name) is not None


def _lora_tensor(info: TensorInfo) -> LoraTensor | None:
    match = _LORA_TENSOR.fullmatch(info.name)
    if match is None or not match["module"].startswith(PREFIX):
        return None
    return LoraTensor(match["module"].removeprefix(PREFIX), match["side"], info)


def _attempt(read: Callable[[], T]) -> T | Exception:
    try:
        return read()
    except (AdapterError, OSError, ValueError, NotChecked) as error:
        return error


def _usable(outcome: T | Exception, cause: str) -> T:
    if isinstance(outcome, NotChecked):
        raise outcome
    if isinstance(outcome, Exception):
        raise NotChecked(f"see {cause}")
    return outcome
