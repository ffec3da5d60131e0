"""The files that vLLM's LoRA kernels take their settings from, one per card and kernel.

Format (vLLM 0.32, ``vllm/lora/ops/triton_ops/README_TUNING.md``): ``<card>_SHRINK.json`` and
``<card>_EXPAND_TRUE.json`` hold ``[adapters + 1][slices][tokens][k][n]``, where (k, n) is (inputs,
rank) for shrink and (rank, outputs) for expand. vLLM takes the nearest key where the exact one is
missing, also when it is far away, and dies where ``slices`` is missing. So it is shown only what
was measured for the shapes that it has, or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapters.atomic import write_file
from serving.engine.kernels.shapes import Shape

SHRINK: Final = "SHRINK"
EXPAND: Final = "EXPAND_TRUE"
ENVIRONMENT: Final = "VLLM_TUNED_CONFIG_FOLDER"
SHIPPED: Final = Path(__file__).parent / "tuned"
Setting = dict[str, int | None]
Table = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What an engine runs: on which card, with which adapters, over which matrices."""

    card: str
    """As NVML names it."""
    max_loras: int
    rank: int
    """vLLM's ``max_lora_rank``: every slot is that wide, whatever is in it."""
    shapes: tuple[Shape, ...]

    def file(self, kernel: str) -> str:
        """Name of the file for one kernel on this card."""
        return f"{self.card.replace(' ', '_').replace('-', '_')}_{kernel}.json"

    def keys(self, kernel: str, shape: Shape) -> tuple[str, str, str, str]:
        """Adapters, slices, k and n of one matrix."""
        k, n = (shape.inputs, self.rank) if kernel == SHRINK else (self.rank, shape.outputs)
        return str(self.max_loras + 1), str(shape.slices), str(k), str(n)


def put(table: Table, keys: tuple[str, str, str, str], tokens: int, setting: Setting) -> None:
    """Add one setting."""
    adapters, slices, k, n = keys
    by_tokens = table.setdefault(adapters, {}).setdefault(slices, {})
    by_tokens.setdefault(str(tokens), {}).setdefault(k, {})[n] = setting


def settings(table: Table, keys: tuple[str, str, str, str]) -> dict[int, Setting]:
    """What is known for one matrix, by number of tokens."""
    adapters, slices, k, n = keys
    found: Mapping[str, Any] = table.get(adapters, {}).get(slices, {})
    return {int(m): by_k[k][n] for m, by_k in found.items() if n in by_k.get(k, {})}


def merged(known: Table, new: Table) -> Table:
    """Both; where both know a setting, the new one."""
    both = dict(known)
    for key, value in new.items():
        old = both.get(key)
        nested = isinstance(old, dict) and isinstance(value, dict) and "block_m" not in value
        both[key] = merged(old, value) if nested and isinstance(old, dict) else value
    return both


def read(path: Path) -> Table:
    """A file's table; empty where there is none. Raises ``ValueError`` for one that is broken."""
    if not path.is_file():
        return {}
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no table of kernel settings")  # noqa: TRY004 - of a file, not of an argument
    return found


def write(path: Path, table: Table) -> None:
    """Replace a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(table, indent=1, sort_keys=True) + "\n", private=False)


def selected(wanted: Wanted, folders: Iterable[Path]) -> dict[str, Table] | None:
    """By kernel what fits exactly, from the first folder that has all of it; None where none has.

    Raises ``ValueError`` for a broken file.
    """
    for folder in folders:
        found = {kernel: _fitting(wanted, kernel, folder) for kernel in (SHRINK, EXPAND)}
        if all(found.values()):
            return found
    return None


def _fitting(wanted: Wanted, kernel: str, folder: Path) -> Table:
    known, fitting = read(folder / wanted.file(kernel)), Table()
    for shape in wanted.shapes:
        keys = wanted.keys(kernel, shape)
        by_tokens = settings(known, keys)
        if not by_tokens:
            return {}
        for tokens, setting in by_tokens.items():
            put(fitting, keys, tokens, setting)
    return fitting


def lay_out(wanted: Wanted, measured: Path, into: Path) -> Path | None:
    """A folder for vLLM with what is known for this engine; None where nothing is.

    Args:
        wanted: the engine.
        measured: where `graftwork tune` wrote on this machine; goes before what ships.
        into: a folder that is this engine's own.

    Raises:
        ValueError: of a broken file.
        OSError: when ``into`` cannot be written.
    """
    found = selected(wanted, (measured, SHIPPED))
    if found is None:
        return None
    for kernel, table in found.items():
        write(into / wanted.file(kernel), table)
    return into
