"""Print what a request and an adapter touch on their way: ``make walk``.

Files come in order of first visit, with the number of their functions that ran and of the calls
that came into them from other files.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.walk.documents import path_of, with_list
from tests.walk.journeys import walked
from tests.walk.tracer import Tracer, Walk

FOLDERS = ("router", "adapters", "serving")
_TITLES = {
    "request-path": "One streamed chat to the base (docs/request-path.md)",
    "adapter-path": "Push, replace, roll back, retire (docs/adapter-path.md)",
}


def main() -> None:
    """Walk both journeys and print them."""
    parser = argparse.ArgumentParser(prog="python -m tests.walk", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--write", action="store_true", help="the lists in both documents")
    parser.add_argument("--jumps", type=int, default=0, help="also the N busiest pairs of files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        walks = walked(Tracer(FOLDERS), Path(scratch))
    if options.json:
        print(json.dumps({name: _plain(walk) for name, walk in walks.items()}))
        return
    for name, walk in walks.items():
        if options.write:
            document = path_of(name)
            document.write_text(with_list(document.read_text(), walk.files))
        print(_TITLES[name])
        _show(walk, options.jumps)


def _plain(walk: Walk) -> dict[str, Any]:
    jumps = [[*pair, count] for pair, count in walk.jumps.items()]
    return {"files": walk.files, "functions": walk.functions, "jumps": jumps}


def _show(walk: Walk, pairs: int) -> None:
    functions = Counter(name.partition(":")[0] for name in walk.functions)
    entered: Counter[str] = Counter()
    for (_, path), count in walk.jumps.items():
        entered[path] += count
    print(f"  {'':>3} {'functions':>9} {'entered':>8}")
    for place, path in enumerate(walk.files, 1):
        print(f"  {place:>3} {functions[path]:>9} {entered[path]:>8}  {path}")
    for folder in FOLDERS:
        part = walk.within(f"{folder}/")
        if part.files:
            print(f"  {folder}/: {_figures(part)}")
    print(f"  together: {_figures(walk)}")
    for (caller, path), count in sorted(walk.jumps.items(), key=lambda each: -each[1])[:pairs]:
        print(f"  {count:>6}  {caller} -> {path}")
    print()


def _figures(walk: Walk) -> str:
    return (
        f"{len(walk.files)} files, {len(walk.functions)} functions,"
        f" {walk.jumped} jumps between files"
    )


if __name__ == "__main__":
    main()
