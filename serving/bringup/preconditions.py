"""What must be true before anything is started; each failure is one line with its remedy."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from router.config.providers import MissingKey, read_key
from serving.bringup.edge import port_is_free
from serving.config.deploy import Deploy
from serving.engine.model import ModelMissing, local_directory

_MIB = 1024 * 1024
_CPU_ENGINE_MIB = 3000
MIN_PYTHON = (3, 11)
STATE_REMEDY = "Give that user a directory that it may write to: state_dir, or --state-dir."


class CannotServe(Exception):
    """The message says what is wrong and what to do."""


def check(deploy: Deploy, environ: dict[str, str]) -> None:
    """Raises ``CannotServe`` for the first thing that is missing."""
    _check_python()
    _check_port(deploy)
    _check_state_dir(deploy.settings.state_dir)
    _check_model(deploy)
    for provider in deploy.settings.router.providers:
        try:
            read_key(provider, environ)
        except MissingKey as error:
            raise CannotServe(str(error)) from error
    _check_memory()


def _check_python() -> None:
    if sys.version_info < MIN_PYTHON:
        have = ".".join(map(str, sys.version_info[:3]))
        raise CannotServe(f"Python {have} is too old: use Python 3.11 or newer")
    if importlib.util.find_spec("vllm") is None:
        raise CannotServe("vLLM is not installed: run `make serve`, or pip install graftwork[cpu]")


def _check_port(deploy: Deploy) -> None:
    if not port_is_free(deploy.host, deploy.port):
        raise CannotServe(
            f"port {deploy.port} on {deploy.host} is taken: stop what listens there, or choose "
            "another with --port"
        )


def _check_state_dir(state_dir: Path) -> None:
    if writable(state_dir) is None:
        raise CannotServe(f"{state_dir.absolute()} cannot be written by this user. {STATE_REMEDY}")


def writable(directory: Path) -> Path | None:
    """The directory, or the nearest above it that exists; None when nothing can be made there."""
    place = directory.absolute()
    try:
        while not place.exists():
            place = place.parent
        is_usable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    except OSError:  # one above it may not be looked into
        return None
    return place if is_usable else None


def _check_memory(meminfo: Path = Path("/proc/meminfo")) -> None:
    available_mib = available_memory_mib(meminfo)
    if available_mib is not None and available_mib < _CPU_ENGINE_MIB:
        raise CannotServe(
            f"{available_mib} MiB of memory are available and about {_CPU_ENGINE_MIB} are needed: "
            "close something, or use a larger machine"
        )


def available_memory_mib(meminfo: Path) -> int | None:
    """``MemAvailable`` in MiB; None where the kernel does not tell."""
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 // _MIB
    except OSError:
        pass
    return None


def _check_model(deploy: Deploy) -> None:
    try:
        local_directory(deploy.settings.base)
    except ModelMissing as error:
        raise CannotServe(str(error)) from error
