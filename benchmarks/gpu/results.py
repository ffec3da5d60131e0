"""What was measured, on the disk part by part, and as rows of RESULTS.md."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from adapters.atomic import write_file

BEGIN, END = "<!-- bench-gpu: written by `make bench-gpu` -->", "<!-- end of bench-gpu -->"
_HEAD = "\n## On a card\n\n`make bench-gpu`; *base* is what was served.\n"
Figures = Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """One part on one card."""

    card: str
    base: str
    part: str
    date: str
    figures: dict[str, str]


def result(card: str, base: str, part: str, figures: Figures) -> Result:
    """Of now."""
    return Result(card, base, part, time.strftime("%Y-%m-%d"), dict(figures))


class Kept:
    """Results below a folder: a part that was measured need not be measured again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, card: str, base: str, part: str) -> bool:
        """Whether the part is there."""
        return self._path(card, base, part).is_file()

    def put(self, measured: Result) -> None:
        """Keep it, whole or not at all."""
        path = self._path(measured.card, measured.base, measured.part)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(asdict(measured), indent=1), private=False)

    def all(self) -> list[Result]:
        """Every result, by card, base and part."""
        found = (json.loads(path.read_text()) for path in sorted(self._folder.glob("*.json")))
        return [Result(**each) for each in found]

    def _path(self, card: str, base: str, part: str) -> Path:
        name = "-".join(re.sub(r"[^a-z0-9.]+", "-", each.lower()) for each in (card, base, part))
        return self._folder / f"{name}.json"


def rows(results: list[Result]) -> str:
    """A Markdown table."""
    lines = [
        "| card | base | part | figure | measured | on |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in results:
        for name, figure in each.figures.items():
            lines.append(
                f"| {each.card} | {each.base} | {each.part} | {name} | {figure} | {each.date} |"
            )
    return "\n".join(lines)


def write_into(path: Path, results: list[Result]) -> None:
    """Replace the section of RESULTS.md, or add it at the end; rows of others in it stay."""
    text = path.read_text()
    before, begun, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    mine = {(each.card, each.base, each.part) for each in results}
    kept = [line for line in old.splitlines() if _is_others(line, mine)] if begun else []
    table = "\n".join([rows(results), *kept])
    head = before if begun else f"{text.rstrip()}\n{_HEAD}\n"
    path.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{after if begun else chr(10)}")


def _is_others(line: str, mine: set[tuple[str, str, str]]) -> bool:
    cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
    is_row = len(cells) == 6 and cells[0] not in {"card", "---"}
    return is_row and (cells[0], cells[1], cells[2]) not in mine
