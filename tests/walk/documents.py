"""The journeys as the documents tell them, beside the journeys as they were traced."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from tests.walk.tracer import ROOT

_BEGIN, _END = "<!-- walk: written by `make walk ARGS=--write` -->", "<!-- end of walk -->"
_PATH = re.compile(r"`((?:adapters|router|serving)/[\w/]+\.py)`")
_STEP = re.compile(r"^\d+\. \*\*.*?(?=^\d+\. \*\*|^## |\Z)", re.MULTILINE | re.DOTALL)


def path_of(name: str) -> Path:
    """The document of a journey."""
    return ROOT / "docs" / f"{name}.md"


def listed(text: str) -> list[str]:
    """The files in the document's list, in its order."""
    return _PATH.findall(text.partition(_BEGIN)[2].partition(_END)[0])


def steps(text: str) -> list[str]:
    """The file that each numbered step begins with, unless a step before it has named it."""
    told: list[str] = []
    known: set[str] = set()
    for step in _STEP.findall(text.partition(_BEGIN)[0]):
        named = _PATH.findall(step)
        told += [path for path in named[:1] if path not in known]
        known.update(named)
    return told


def with_list(text: str, files: Sequence[str]) -> str:
    """The document with its list made anew: each file with the first sentence about itself."""
    lines = "\n".join(f"1. `{path}`: {_about(path)}" for path in files)
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n\n{lines}\n\n{_END}{rest.partition(_END)[2]}"


def _about(path: str) -> str:
    said = ast.get_docstring(ast.parse((ROOT / path).read_text())) or ""
    paragraph = " ".join(said.partition("\n\n")[0].split())
    return re.split(r"(?<=[.?])\s", paragraph + " ", maxsplit=1)[0].rstrip(". ")
