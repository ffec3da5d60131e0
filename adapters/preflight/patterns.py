"""PEFT's rules for which module a setting means, with patterns that cannot be made to run for ever.

PEFT matches with regular expressions, and the engine evaluates those of ``rank_pattern`` and
``alpha_pattern`` in its only loop. A key there must therefore be simple: no quantifier on a group, at
most two open-ended parts. ``target_modules`` and ``exclude_modules`` are evaluated here alone, so any
expression will do that finishes in time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import regex  # type: ignore[import-untyped]

ALL_LINEAR = "all-linear"
MAX_PATTERN_CHARACTERS = 2048
_MATCH_SECONDS = 2.0
_MAX_OPEN_ENDED = 2
_SIMPLE = re.compile(
    r"(?:[\w\-.^$|)]|\((?:\?:)?|\\\.|(?:\\d|\[[\w\-]+\])\+?|\.[*+]\??)+", re.ASCII
)
_OPEN_ENDED = re.compile(r"(?<!\\)[*+]")
_INNER_LAYER = re.compile(r".*?\.[^.]*\.(?P<index>\d+)\.")


def problem_with_key(key: str) -> str | None:
    """Why a key of ``rank_pattern`` or ``alpha_pattern`` is not acceptable; None when it is."""
    if not key or len(key) > MAX_PATTERN_CHARACTERS:
        return f"a pattern of {len(key)} characters"
    simple = _SIMPLE.fullmatch(key) is not None
    if not simple or len(_OPEN_ENDED.findall(key)) > _MAX_OPEN_ENDED:
        return f"{key[:80]!r} is not a simple pattern"
    try:
        re.compile(key)
    except re.error as error:
        return f"{key[:80]!r}: {error}"
    return None


def first_match(patterns: Mapping[str, Any], module: str) -> Any:
    """The value of the first key that means ``module``; None when none does."""
    for key, value in patterns.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return None


class Targets:
    """Which modules ``target_modules``, ``exclude_modules`` and the layer settings select.

    ``selects`` raises ``ValueError`` for an expression that is malformed or takes too long.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._targets: Any = config.get("target_modules")
        self._excluded: Any = config.get("exclude_modules")
        self._layers = _layer_numbers(config.get("layers_to_transform"))
        self._layer_names = _names(config.get("layers_pattern"))
        self._deadline = time.monotonic() + _MATCH_SECONDS

    @property
    def everything(self) -> bool:
        """Whether PEFT's shorthand for all linears is given instead of names."""
        return isinstance(self._targets, str) and self._targets.lower() == ALL_LINEAR

    def selects(self, module: str) -> bool:
        if self._excluded and self._matches(self._excluded, module):
            return False
        if self.everything:
            return True
        if not self._targets or not self._matches(self._targets, module):
            return False
        # PEFT ignores the layer settings when the target is one expression.
        return isinstance(self._targets, str) or self._in_layers(module)

    def _matches(self, wanted: Any, module: str) -> bool:
        if isinstance(wanted, str):
            return self._fullmatch(wanted, module)
        return any(module == name or module.endswith(f".{name}") for name in wanted)

    def _fullmatch(self, pattern: str, module: str) -> bool:
        left = self._deadline - time.monotonic()
        if left <= 0 or len(pattern) > MAX_PATTERN_CHARACTERS:
            raise ValueError("the module pattern takes too long to evaluate")
        try:
            return regex.fullmatch(pattern, module, timeout=left) is not None
        except TimeoutError:
            raise ValueError("the module pattern takes too long to evaluate") from None
        except regex.error as error:
            raise ValueError(f"the module pattern is malformed: {error}") from error

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
