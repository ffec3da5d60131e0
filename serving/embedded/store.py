"""Report progress, and write trained results so that no reader ever sees half a directory."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def say(line: str) -> None:
    """Write one line of progress at once, also into a log file."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def replace_directory(target: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a fresh directory beside ``target``, then swap it in by renaming."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fresh, old = scratch / "fresh", scratch / "old"
        fresh.mkdir()
        write(fresh)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
