"""How large everything is measured: on a card of CUDA, or in small on the CPU to try the path."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Final

CARD, CPU = "card", "cpu"


@dataclass(frozen=True)
class Scale:
    """What is measured with.

    Attributes:
        card: name of the machine's card, or that there is none.
        shape: the base's, of ``benchmarks.train.SHAPES``; None: the embedded base.
        clients: requests at once for throughput.
        loads: requests at once for K, one after the other.
        read: tokens of a prompt for K's prefill, about.
        written: tokens of an answer.
        adapters: side by side in the mix.
        seconds: of each measurement of throughput.
        pushes: under each of the conditions.
        trained: shapes whose training is measured.
    """

    card: str
    shape: str | None
    clients: int
    loads: tuple[int, ...]
    read: int
    written: int
    adapters: int
    seconds: float
    pushes: int
    trained: tuple[str, ...]
    steps: int

    @property
    def on_cuda(self) -> bool:
        """Whether a card does the work."""
        return self.shape is not None


_SMALL: Final = Scale(
    "no card (CPU)", None, 4, (1, 4), 300, 16, 3, 3.0, 3, ("tiny",), 4
)  # fmt: skip


def on_the_cpu() -> Scale:
    """The same path in small, with the embedded base."""
    return _SMALL


def on_a_card(name: str, shape: str) -> Scale:
    """What the tables of other cards were made with."""
    return Scale(
        name, shape, 64, (1, 8, 64, 256), 1000, 128, 8, 12.0, 8, ("0.1B", "1.5B", "7B"), 20
    )


def card() -> str | None:
    """Name of the first card; None without CUDA."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    names = said.stdout.split("\n")
    return names[0].strip() or None
