"""The whole suite, in which a few failed tests get a second try: what `.ci/run` uses.

A test that fails once in a thousand runs refuses a change that has nothing to do with it. So at
most `SECOND_TRIES` failed tests run once more, in a process and with systems of their own; what
passes then is named at the end, to be mended. More failures, or one that stays, end as ever. On a
developer's machine `make test` gives no second try (docs/decisions/0055).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SECOND_TRIES = 2
_FAILED = Path("v/cache/lastfailed")


def main(arguments: list[str]) -> int:
    """Run the suite with pytest's arguments; its exit status, or that of the second tries."""
    failed = Path(".pytest_cache") / _FAILED
    failed.unlink(missing_ok=True)
    status = int(pytest.main(arguments))
    if status != pytest.ExitCode.TESTS_FAILED:
        return status
    names = sorted(json.loads(failed.read_text(encoding="utf-8")))
    if not 0 < len(names) <= SECOND_TRIES:
        return status
    _say("a second try", names)
    again = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *names]
    status = subprocess.run(again, check=False).returncode
    _say("failed twice" if status else "FLAKED: passed at the second try only, to be mended", names)
    return status


def _say(what: str, names: list[str]) -> None:
    print(f"\n{what}:", *names, sep="\n  ", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
