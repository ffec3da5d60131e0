"""Which modules a configuration means: PEFT's names and patterns, evaluated in bounded time.

PEFT matches with regular expressions, and the engine evaluates those of ``rank_pattern`` and
``alpha_pattern`` in its only loop, with the same library as here but without a limit of time. An
expression that takes long on the adapter's own module names is refused. So are more patterns than
that library keeps compiled: it would compile all of them anew for every module, for seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import regex  # type: ignore[import-untyped]

ALL_LINEAR = "all-linear"
MAX_PATTERN_CHARACTERS = 1024
MAX_PATTERNS = 500
"""Python's `re` keeps 512 compiled ones."""
_MATCH_SECONDS = 0.5
_PLAIN = re.compile(r"[\w.-]+", re.ASCII)
"""Keys in which nothing but `.` means something else than itself."""
_INNER_LAYER = re.compile(r".*?\.[^.]*\.(?P<index>\d+)\.")


class _Matcher:
    """Full matches that share one budget of time; ``ValueError`` when it is used up."""

    def __init__(self) -> None:
        self._left_s = _MATCH_SECONDS

    def fullmatch(self, pattern: str, text: str) -> bool:
        if len(pattern) > MAX_PATTERN_CHARACTERS:
            raise ValueError(f"a pattern of {len(pattern)} characters")
        started = time.monotonic()
        try:
            found = regex.fullmatch(pattern, text, timeout=max(self._left_s, 0.001))
        except TimeoutError:
            raise ValueError(f"{pattern[:80]!r} takes too long to evaluate") from None
        except regex.error as error:
            raise ValueError(f"{pattern[:80]!r} is malformed: {error}") from error
        self._left_s -= time.monotonic() - started
        if self._left_s <= 0:
            raise ValueError(f"{pattern[:80]!r} takes too long to evaluate")
        return found is not None


class ModuleValues:
    """``rank_pattern`` or ``alpha_pattern``: the first key that means a module gives its value."""

    def __init__(self, patterns: Mapping[str, Any]) -> None:
        self._patterns = [(key, _PLAIN.fullmatch(key), value) for key, value in patterns.items()]
        self._matcher = _Matcher()

    def value(self, module: str) -> Any:
        """The module's own value, None without one; ``ValueError`` for an unusable key."""
        for key, is_plain, value in self._patterns:
            # Most are: how busy the machine is must not decide whether these take too long.
            if is_plain and "\n" not in module:
                found = _means(key, module)
            else:
                found = self._matcher.fullmatch(rf"(?:.*\.)?(?:{key})", module)
            if found:
                return value
        return None


def _means(key: str, module: str) -> bool:
    """Whether a plain key, a full path or the end of one, matches; its dots stand for anything."""
    start = len(module) - len(key)
    if start < 0 or (start and module[start - 1] != "."):
        return False
    if not module.endswith(key.rpartition(".")[2]):
        return False
    return all(mine in {".", its} for mine, its in zip(key, module[start:], strict=True))


class Targets:
    """Which modules ``target_modules``, ``exclude_modules`` and the layer settings select.

    ``selects`` raises ``ValueError`` for an expression that is malformed or takes too long.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._targets: Any = config.get("target_modules")
        self._excluded: Any = config.get("exclude_modules")
        self._layers = _layer_numbers(config.get("layers_to_transform"))
        self._layer_names = _names(config.get("layers_pattern"))
        self._matcher = _Matcher()

    @property
    def everything(self) -> bool:
        """Whether PEFT's shorthand for all linears is given instead of names."""
        return isinstance(self._targets, str) and self._targets.lower() == ALL_LINEAR

    def selects(self, module: str) -> bool:
        """Whether PEFT would put a LoRA on this module."""
        if self._excluded and self._matches(self._excluded, module):
            return False
        if self.everything:
            return True
        if not self._targets or not self._matches(self._targets, module):
            return False
        # PEFT applies the layer settings neither to an expression nor to a full path.
        return isinstance(self._targets, str) or module in self._targets or self._in_layers(module)

    def _matches(self, wanted: Any, module: str) -> bool:
        if isinstance(wanted, str):
            return self._matcher.fullmatch(wanted, module)
        return any(module == name or module.endswith(f".{name}") for name in wanted)

    def _in_layers(self, module: str) -> bool:
        if not self._layers:
            return True
        match = self._layer_match(module)
        return match is not None and int(match["index"]) in self._layers

    def _layer_match(self, module: str) -> re.Match[str] | None:
        if not self._layer_names:
            return _INNER_LAYER.match(module)
        found = (
            re.match(rf"(?:^|.*?\.){re.escape(name)}\.(?P<index>\d+)\.", module)
            for name in self._layer_names
        )
        return next((match for match in found if match), None)


def _layer_numbers(value: Any) -> frozenset[int]:
    if type(value) is int:
        return frozenset({value})
    return frozenset(item for item in value or () if type(item) is int)


def _names(value: Any) -> Sequence[str]:
    return (value,) if isinstance(value, str) and value else tuple(value or ())
