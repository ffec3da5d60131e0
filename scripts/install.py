"""Run the steps of an installation: progress for people, pip's noise into a log, clear failures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TAIL_LINES = 15
QUIET_S = 15.0
"""Where the progress line cannot be rewritten, a new one is printed this often."""

# Set by a user for another purpose, these would install to elsewhere or leave nothing compiled.
MISLEADING = (
    *("PIP_CONSTRAINT", "PIP_PREFIX", "PIP_ROOT", "PIP_TARGET"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH"),
)

NETWORK = (
    "pip cannot reach its package index: check the network (or point pip to a mirror with"
    " `pip config set global.index-url URL`), then run the same command again."
)
# First match wins: pip says "no matching distribution" also when it reached nothing.
REMEDIES = (
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full: free some space (TMPDIR=/some/folder moves pip's temporary files),"
        " then run the same command again.",
    ),
    (
        r"Temporary failure in name resolution|Name or service not known|NewConnectionError"
        r"|ConnectTimeout|ReadTimeout|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED"
        r"|Connection (?:refused|reset|aborted|broken)|Network is unreachable|nodename nor servname"
        r"|IncompleteRead|timed out",
        NETWORK,
    ),
    (
        r"DO NOT MATCH THE HASHES",
        "a downloaded file is not the one that was locked: the index or a cache is damaged"
        " (`pip cache purge` clears it); do not go on until that is understood.",
    ),
    (
        r"No matching distribution found for (?P<what>\S+)",
        "pip's index does not have {what} for this Python and machine: use the public index, or"
        " complete the mirror that pip is configured for.",
    ),
    (
        r"Permission denied",
        "some file cannot be written: run this as the owner of the project's folder.",
    ),
    (
        r"exit status -9",
        "the system killed it, most likely for lack of memory: close other programs.",
    ),
)


class FailedError(Exception):
    """A step failed; the message is one line with the remedy."""


@dataclass(frozen=True)
class Step:
    """One visible step: commands that are alternatives, tried until one succeeds."""

    title: str
    commands: Sequence[Sequence[str]]
    packages: int = 0
    """How many packages pip will name while it collects them; 0 when that says nothing."""


class ProgressLine:
    """``[2/5] runtime packages: 40/181, 12 s``: rewritten on a terminal, repeated elsewhere."""

    def __init__(self, prefix: str, packages: int, output: IO[str]) -> None:
        self._prefix = prefix
        self._packages = packages
        self._output = output
        self._started = self._printed = time.monotonic()
        self._collected = 0
        self._state = ""
        self._show()

    def feed(self, line: str) -> None:
        """Learn from a line that pip wrote."""
        if self._packages and line.startswith("Collecting "):
            self._collected += 1
            self._state = f": {min(self._collected, self._packages)}/{self._packages}"
        elif line.startswith("Installing collected packages"):
            self._state = f": unpacking {self._packages}" if self._packages else ": unpacking"
        self._show()

    def end(self, word: str) -> None:
        """Leave the final line."""
        self._write(f"{self._prefix}: {word}, {self._seconds():.0f} s", end="\n")

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _show(self) -> None:
        if self._output.isatty():
            self._write(f"{self._prefix}{self._state}, {self._seconds():.0f} s", end="")
        elif time.monotonic() - self._printed > QUIET_S:
            self._printed = time.monotonic()
            self._write(f"{self._prefix}{self._state}, {self._seconds():.0f} s", end="\n")

    def _write(self, text: str, end: str) -> None:
        start = "\r\x1b[K" if self._output.isatty() else ""
        self._output.write(start + text + end)
        self._output.flush()


def run_steps(steps: Sequence[Step], log: Path, output: IO[str] | None = None) -> None:
    """Run every step in order; stop with FailedError at the first that fails."""
    output = output or sys.stdout
    for number, step in enumerate(steps, 1):
        line = ProgressLine(f"[{number}/{len(steps)}] {step.title}", step.packages, output)
        if run_step(step, log, line):
            line.end("done")
        else:
            line.end("failed")
            raise FailedError(explain(log))


def run_step(step: Step, log: Path, line: ProgressLine) -> bool:
    """Whether one of the step's commands succeeded."""
    return any(run_command(command, log, line) == 0 for command in step.commands)


def run_command(command: Sequence[str], log: Path, line: ProgressLine) -> int:
    """Run a program to its end, its output in the log, and return its exit status."""
    with log.open("a", encoding="utf-8") as book:
        book.write(f"\n$ {' '.join(command)}\n")
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(os.environ),
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                for said in process.stdout or ():
                    book.write(said)
                    line.feed(said)
            except BaseException:
                # Nobody may write to the environment once this process has let go of its lock,
                # the children of venv and pip included.
                os.killpg(process.pid, signal.SIGTERM)
                raise
        book.write(f"exit status {process.returncode}\n")
    return process.returncode


def clean_environment(environment: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """The user's environment, with their index and proxy, without what would lead pip astray."""
    kept = {name: value for name, value in environment.items() if name not in MISLEADING}
    kept |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    return kept | {"PYTHONUNBUFFERED": "1"}


def explain(log: Path) -> str:
    """What went wrong and what to do, in one line where the reason is known."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if advice := remedy(text):
        return f"{advice} (Details: {log})"
    tail = "\n".join(f"  | {line}" for line in text.splitlines()[-TAIL_LINES:])
    return f"the environment could not be made; the end of {log}:\n{tail}"


def remedy(text: str) -> str | None:
    """The remedy for what a log says about its last command."""
    last_command = text.rpartition("\n$ ")[2]
    for pattern, advice in REMEDIES:
        if found := re.search(pattern, last_command):
            return advice.format(**found.groupdict())
    return None
