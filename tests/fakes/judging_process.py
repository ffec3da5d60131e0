"""A process that judges one review after the other and says so, until it is killed.

    python -m tests.fakes.judging_process URL

Each line names a review whose verdict was acknowledged.
"""

from __future__ import annotations

import sys
from itertools import count

from adapters.review.verdicts import Verdict
from tests.fakes.reviewing import reviewing


def main(url: str) -> None:
    """Judge for ever."""
    with reviewing(url) as desk:
        for number in count():
            item = desk.asked(f"question {number}")
            desk.reviews.judge(item, "ann", Verdict.EDIT, answer=f"answer {number}")
            sys.stdout.write(f"{item}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
