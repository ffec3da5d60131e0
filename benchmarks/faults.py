"""`make bench-faults`: what a client gets for every way in which a provider can fail.

Each fault is put on by a real HTTP server on loopback, one for each dialect, for every call that it
gets; by every API, streamed and not; with a provider of another dialect that is well, and without
one. Prints a table of all dialects, and fails when a cell is wrong: an answer that is not all of
the text exactly once, an error that is not well formed, or either of them after the deadline.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.standins import STANDINS
from tests.faults.cases import CASES, Case
from tests.faults.matrix import Row, cells, run

_COLUMNS = ((False, True), (True, True), (False, False), (True, False))
"""Streamed, and with a fallback."""


def _how(row: Row) -> str:
    """What came, in a few words."""
    outcome = row.outcome
    if outcome is None or row.problem() is not None:
        return "WRONG"
    rescued = ", rescued" if outcome.facts.get("rescued") else ""
    return f"{outcome.kind} {outcome.status}{rescued}"


def _cell(rows: Sequence[Row]) -> str:
    """What came of most, who got something else, and the longest wait."""
    who: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        who[_how(row)].append(f"{row.cell.dialect} {row.cell.path.split('/')[2]}")
    (most, _), *others = sorted(who.items(), key=lambda each: -len(each[1]))
    told = [most, *(f"{how} ({', '.join(names)})" for how, names in others)]
    return f"{'; '.join(told)}; {max(row.seconds for row in rows):.1f} s"


def _line(case: Case, rows: Sequence[Row]) -> str:
    found = (
        [r for r in rows if (r.cell.stream, r.cell.fallback is not None) == column]
        for column in _COLUMNS
    )
    return f"| {case.name} | " + " | ".join(map(_cell, found)) + " |"


def table(rows: Sequence[Row]) -> str:
    """Markdown: one line per fault, four columns."""
    head = "whole, with a fallback | streamed, with a fallback | whole, alone | streamed, alone"
    lines = [f"| fault | {head} |", "| --- | --- | --- | --- | --- |"]
    lines += [_line(case, [row for row in rows if row.cell.case is case]) for case in CASES]
    return "\n".join(lines)


def main() -> None:
    """Run all, print the table, and say how many are right."""
    with tempfile.TemporaryDirectory() as state:
        result = asyncio.run(run(Path(state), cells(CASES)))
    print(table(result.rows))
    wrong = [str(row) for row in result.rows if row.problem()]
    dialects = ", ".join(STANDINS)
    print(f"\n{len(CASES)} faults of {dialects}: {len(result.rows)} requests, {len(wrong)} wrong.")
    if wrong or result.leaks or result.left_behind or result.logged:
        raise SystemExit("\n".join([*wrong, *result.leaks, str(result.left_behind)]))


if __name__ == "__main__":
    main()
