"""The Makefile parses, and `make help` lists what it offers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
OFFERED = re.findall(r"^([a-z0-9-]+):[^=\n]*## ", MAKEFILE, re.MULTILINE)


def make(*arguments: str) -> str:
    """What `make` prints; it runs nothing with ``-n``."""
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_every_target() -> None:
    """One line each, with what it does."""
    listed = [line.split()[0] for line in make("help").splitlines()[1:]]
    assert listed == OFFERED


def test_every_target_is_phony_and_says_what_it_runs() -> None:
    """A file of the same name must not hide a target."""
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)).split()
    assert set(OFFERED) <= set(phony)
    assert make("-n", "serve", "test", "bench").count("scripts/bootstrap.py") >= 2
