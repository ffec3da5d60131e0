"""`make bench-faults`: what a client gets for every way in which a provider can fail.

Each fault is put on by a real HTTP server on loopback, for every call that it gets, chat and
Responses, streamed and not; with a second provider that is well, and without one. Prints a table
for each dialect, and fails when a row is wrong: an answer that is not the whole text exactly once,
an error that is not well formed, or either of them after the deadline.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.faults.suite import CASES, CHAT, DEADLINE_S, RESPONSES, Row, bench

_TIMEOUT_S = 1.5


async def _run(state: Path, path: str) -> list[Row]:
    with bench(state, _TIMEOUT_S) as running:
        return [
            await running.run(case, stream=stream, fallback=fallback, path=path)
            for case in CASES
            for fallback in (True, False)
            for stream in (False, True)
        ]


def _cell(row: Row) -> str:
    how = ", rescued" if row.rescued else ""
    return f"{row.outcome}{how}; {row.attempts}; {row.seconds:.2f}"


def table(rows: list[Row]) -> str:
    """Markdown: one line per fault, four columns."""
    lines = [
        "| fault | whole, with a fallback | streamed, with a fallback | whole, alone | "
        "streamed, alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    of_case: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_case[row.case.name].append(row)
    for name, found in of_case.items():
        lines.append(f"| {name} | " + " | ".join(_cell(row) for row in found) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run all, print a table for each dialect, and say how many are right."""
    print(f"Outcome; attempts; seconds. Deadline {DEADLINE_S:g} s, timeouts {_TIMEOUT_S:g} s.")
    rows: list[Row] = []
    for path in (CHAT, RESPONSES):
        with tempfile.TemporaryDirectory() as state:
            found = asyncio.run(_run(Path(state), path))
        print(f"\n`{path}`\n\n{table(found)}")
        rows += found
    wrong = [row for row in rows if not row.is_right]
    print(f"\n{len(CASES)} faults, {len(rows)} requests, {len(rows) - len(wrong)} right.")
    if wrong:
        raise SystemExit("\n".join(str(row) for row in wrong))


if __name__ == "__main__":
    main()
