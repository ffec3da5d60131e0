"""Each peer in an environment of its own, made once; nothing of one is ever imported here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_MADE: Final = "INSTALLED"
_LONGEST_S: Final = 900


class NotInstallable(Exception):
    """The peer cannot be installed here; the message says why."""


def cache() -> Path:
    """Where environments are kept: `$XDG_CACHE_HOME/graftwork/bench-gateway`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "graftwork" / "bench-gateway"


def from_pypi(home: Path, requirement: str) -> Path:
    """The `bin` folder of an environment with the requirement, which names one version.

    Raises:
        NotInstallable: pip cannot get it, for example without a network.
    """
    place = _place(home, requirement)
    if not (place / _MADE).exists():
        shutil.rmtree(place, ignore_errors=True)  # what was cut off half-way
        venv.create(place, with_pip=True)
        python = str(place / "bin" / "python")
        _run([python, "-m", "pip", "install", "--quiet", "--no-input", requirement])
        (place / _MADE).touch()
    return place / "bin"


def from_npm(home: Path, package: str, overrides: Mapping[str, str] | None = None) -> Path:
    """The `node_modules` folder with a package (``name@version``); no package's scripts are run.

    Args:
        home: where environments are kept.
        package: what the environment is for.
        overrides: versions of what it depends on.

    Raises:
        NotInstallable: there is no node or no npm, or npm cannot get it.
    """
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        raise NotInstallable(f"there is no {' and no '.join(missing)} on this machine")
    place = _place(home, package)
    if not (place / _MADE).exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        name, _, version = package.rpartition("@")
        wanted = {"dependencies": {name: version}, "overrides": overrides or {}}
        (place / "package.json").write_text(json.dumps(wanted), encoding="utf-8")
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        _run(["npm", "install", *quiet, "--prefix", str(place)])
        (place / _MADE).touch()
    return place / "node_modules"


def _place(home: Path, package: str) -> Path:
    return home / package.strip("@").replace("/", "-").replace("==", "-")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallable(str(error)) from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()]
        raise NotInstallable((errors or said or [f"{command[0]} failed"])[-1].strip())
