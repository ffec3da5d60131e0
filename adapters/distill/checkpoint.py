"""Where a killed training goes on: one safetensors file, replaced as a whole.

Weights, optimiser and random state are its tensors; the rest is JSON in its header. Nothing in it
runs when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from adapters import atomic
from adapters.atomic import writing
from adapters.distill.job import CHECKPOINT_FILE

Arrays = dict[str, NDArray[Any]]
_STATE = "state"


@dataclass(frozen=True, slots=True)
class State:
    """What a training is besides its tensors."""

    fingerprint: str
    """Of everything that decides its course; with another one it starts anew."""
    step: int = 0
    seconds: float = 0.0
    """At work so far."""
    first_loss: float | None = None
    """Held-out loss before the first step."""
    best_loss: float | None = None
    best_step: int = 0
    worse_looks: int = 0
    """Looks at the held-out loss since the best one."""
    trials: tuple[Mapping[str, Any], ...] = field(default=())
    """What a search has found so far."""


def save(directory: Path, state: State, arrays: Arrays) -> None:
    """Replace the checkpoint. Raises ``OSError``, and then the one before is still there."""
    path = directory / CHECKPOINT_FILE
    try:
        with writing(path) as draft:
            save_file(arrays, draft, metadata={_STATE: json.dumps(asdict(state))})
    except SafetensorError as error:
        # The library hides the system's error in its text.
        raise OSError(_errno(str(error)), str(error)) from error


def load(directory: Path, fingerprint: str) -> tuple[State, Arrays] | None:
    """The checkpoint of this very training, or None."""
    path = directory / CHECKPOINT_FILE
    try:
        with safe_open(path, framework="numpy") as file:
            said = json.loads((file.metadata() or {})[_STATE])
            if said.get("fingerprint") != fingerprint:
                return None
            state = State(**{**said, "trials": tuple(said["trials"])})
            return state, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def sweep(directory: Path) -> None:
    """Remove what a process left that was killed while it wrote; only its lock's holder may."""
    atomic.sweep(directory)
    for left in directory.glob(".tmp*"):  # the library's own
        if left.is_file():
            left.unlink(missing_ok=True)


def drop(directory: Path) -> None:
    """Remove it: what is done does not go on."""
    (directory / CHECKPOINT_FILE).unlink(missing_ok=True)


def as_arrays(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays under names that begin with ``prefix``."""
    return {f"{prefix}/{name}": np.ascontiguousarray(value) for name, value in arrays.items()}


def part(prefix: str, arrays: Arrays) -> Arrays:
    """Those of one prefix, without it."""
    head = f"{prefix}/"
    return {name.removeprefix(head): v for name, v in arrays.items() if name.startswith(head)}


def _errno(text: str) -> int:
    known = (number for number in (28, 122, 5) if f"os error {number}" in text)
    return next(known, 5)
