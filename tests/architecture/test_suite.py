"""Second tries: for a few tests, once, named; never for what fails again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ONCE = """
from pathlib import Path

def test_once() -> None:
    seen = Path(__file__).with_name("seen")
    there = seen.exists()
    seen.touch()
    assert there
"""
ALWAYS = "def test_always() -> None:\n    raise AssertionError\n"
FINE = "def test_fine() -> None:\n    pass\n"


def suite(at: Path, *modules: str, arguments: tuple[str, ...] = ()) -> tuple[int, str]:
    """The exit status and the output of a suite of these modules."""
    for number, text in enumerate(modules):
        folder = at / f"part{number}"
        folder.mkdir()
        (folder / f"test_{number}.py").write_text(text, encoding="utf-8")
    (at / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    ran = subprocess.run(
        [sys.executable, "-m", "scripts.suite", *arguments],
        cwd=at,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return ran.returncode, ran.stdout


def test_what_passes_is_run_once(tmp_path: Path) -> None:
    """A suite without failures ends as pytest ends it."""
    status, said = suite(tmp_path, FINE)
    assert (status, "second try" in said) == (0, False)


def test_a_flake_is_named_and_does_not_refuse_the_change(tmp_path: Path) -> None:
    """It runs again on its own, and the last lines say which one it was."""
    status, said = suite(tmp_path, FINE, ONCE)
    assert status == 0
    assert "FLAKED" in said
    assert said.rstrip().endswith("part1/test_1.py::test_once")


def test_what_fails_twice_has_failed(tmp_path: Path) -> None:
    """Also beside one that passes at the second try."""
    status, said = suite(tmp_path, ONCE, ALWAYS)
    assert (status, "failed twice" in said) == (1, True)


def test_many_failures_get_no_second_try(tmp_path: Path) -> None:
    """Three tests at once are no accident."""
    status, said = suite(tmp_path, ONCE, ONCE, ONCE)
    assert (status, "second try" in said) == (1, False)


def test_a_suite_that_cannot_be_read_gets_none(tmp_path: Path) -> None:
    """Nor one that was stopped: only tests that ran to their end are tried again."""
    assert suite(tmp_path, "import nothing_of_that_name\n")[0] == 2


def test_failures_of_an_earlier_run_are_not_tried(tmp_path: Path) -> None:
    """The cache of a developer's own runs plays no part."""
    assert suite(tmp_path, ALWAYS)[0] == 1
    status, said = suite(tmp_path, arguments=("--collect-only", "-q"))
    assert (status, "second try" in said) == (0, False)
