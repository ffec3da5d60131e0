"""Command line: `python -m benchmarks.governance [--only SECTION ...]`; a module is a section.

Each runs in a process of its own, so that none has another's memory or warm caches.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys

from benchmarks.processes import to_its_end
from benchmarks.routing.data import folder

SECTIONS = ("pii", "vault", "safety", "policy", "retrieval", "stages", "headings")
_QUESTIONS = "xquad_en_even_articles.json"


def main() -> int:
    """Run the sections; the number of those that failed."""
    parser = argparse.ArgumentParser(prog="make bench-governance", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    today = dt.datetime.now(dt.UTC).date()
    print(f"{today}, {platform.machine()}, {os.cpu_count()} cores")
    failed = 0
    for section in parser.parse_args().only:
        print(f"\n## {section}\n", flush=True)
        argv = [sys.executable, "-m", f"benchmarks.governance.{section}"]
        if section == "retrieval":
            if not (folder() / _QUESTIONS).is_file():
                print(f"Skipped: {folder() / _QUESTIONS} is not there")
                continue
            argv.append(str(folder() / _QUESTIONS))
        failed += to_its_end(argv) != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
