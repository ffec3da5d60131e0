"""Where a request's own time goes by heading, beside the split of the article behind this project.

    python -m benchmarks.governance.headings [--requests N]

The article gives 29/22/19/14/8/5/3 without a method; ours are counted on every request and can be
read from its record, from `/metrics`, from usage and from the console.
"""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks.governance.stages import Measured, measure, with_names
from router.stages import Heading

ARTICLE: Final = dict(zip(Heading, (29, 22, 19, 14, 8, 5, 3), strict=True))
"""Percent."""


def table(found: Measured) -> str:
    """Markdown."""
    requests = len(found.cpu_ms)
    lines = ["| heading | article | here | ms a request |", "| --- | ---: | ---: | ---: |"]
    for heading, share in found.shares().items():
        each = found.headings.get(heading, 0.0) / requests
        lines.append(f"| {heading} | {ARTICLE[Heading(heading)]} % | {share:.1f} % | {each:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=500)
    given = parser.parse_args()
    for names in ("none", "builtin"):
        print(f"names are found by: {names}\n")
        print(table(measure(given.requests, given.tokens, with_names(names))), end="\n\n")


if __name__ == "__main__":
    main()
