"""What a prompt token takes, over restarts of the registry: one small file below the state."""

from __future__ import annotations

import json
import math
from pathlib import Path

from adapters.atomic import sweep, write_file
from serving.registry.token_times import TokenTimes

_NAME = "token-times.json"


class RememberedTimes:
    """Keeps ``times`` for one base at a time; another base begins anew.

    A file that is missing, torn or odd is none: it is measured again.
    """

    def __init__(self, times: TokenTimes, state_dir: Path) -> None:
        self._times = times
        self._path = state_dir / _NAME
        self._base: str | None = None
        self._kept: float | None = None

    def serves(self, base_digest: str) -> None:
        """Say which base the engines serve."""
        if base_digest == self._base:
            return
        if self._base is not None:
            self._times.forget()
        self._base, self._kept = base_digest, self._read(base_digest)
        if self._times.prompt_token_s is None:
            self._times.prompt_token_s = self._kept

    def keep(self) -> None:
        """Write down what is new. Raises ``OSError``."""
        known = self._times.prompt_token_s
        if self._base is None or known is None or known == self._kept:
            return
        said = json.dumps({"base": self._base, "prompt_token_s": known})
        sweep(self._path.parent)
        write_file(self._path, said, durable=False)
        self._kept = known

    def _read(self, base_digest: str) -> float | None:
        try:
            found = json.loads(self._path.read_bytes())
            seconds = float(found["prompt_token_s"])
            same = found["base"] == base_digest
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return seconds if same and math.isfinite(seconds) and seconds > 0 else None
