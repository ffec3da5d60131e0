"""One Prometheus exposition out of many: families together, each sample labelled."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(\{)?")
_SUFFIXES = ("_bucket", "_sum", "_count", "_created", "_total")


def merge(expositions: Iterable[tuple[str, str]]) -> str:
    """Join ``(process, text)`` pairs; samples get a ``process`` label, HELP and TYPE come once."""
    heads: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for process, text in expositions:
        label = f'process="{_escaped(process)}"'
        declared: set[str] = set()
        # Not splitlines: a label's value may hold any other line separator as it is.
        for line in text.split("\n"):
            if line.startswith("#"):
                _head(line, heads, declared)
            elif line:
                _sample(line, label, declared, samples)
    lines: list[str] = []
    for family, rows in samples.items():
        lines += heads.get(family, {}).values()
        lines += rows
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _head(line: str, heads: dict[str, dict[str, str]], declared: set[str]) -> None:
    parts = line.split(" ", 3)
    if len(parts) >= 4 and parts[1] in ("HELP", "TYPE"):
        declared.add(parts[2])
        heads.setdefault(parts[2], {}).setdefault(parts[1], line)


def _sample(line: str, label: str, declared: set[str], samples: dict[str, list[str]]) -> None:
    match = _SAMPLE.match(line)
    if match is None:
        return
    name, rest = match[1], line[match.end() :]
    if match[2] is None:
        labelled = f"{name}{{{label}}}{rest}"
    else:
        comma = "" if rest.startswith("}") else ","
        labelled = f"{name}{{{label}{comma}{rest}"
    samples.setdefault(_family(name, declared), []).append(labelled)


def _family(name: str, declared: set[str]) -> str:
    """The family that a sample belongs to, e.g. ``x_bucket`` to the declared histogram ``x``."""
    if name in declared:
        return name
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in declared:
            return name.removesuffix(suffix)
    return name
