"""What a prompt token takes on each card, over restarts of the registry: one small file."""

from __future__ import annotations

import json
import math
from pathlib import Path

from adapters.atomic import sweep, write_file
from serving.registry.card_times import CardTimes

_NAME = "token-times.json"


class RememberedTimes:
    """Keeps ``times`` for one base at a time; another base begins anew.

    A file that is missing, torn or odd is none: it is measured again.
    """

    def __init__(self, times: CardTimes, state_dir: Path) -> None:
        self._times = times
        self._path = state_dir / _NAME
        self._base: str | None = None
        self._kept: dict[str, float] = {}

    def serves(self, base_digest: str) -> None:
        """Say which base the engines serve."""
        if base_digest == self._base:
            return
        if self._base is not None:
            self._times.forget()
        self._base, self._kept = base_digest, self._read(base_digest)
        self._times.remember(self._kept)

    def keep(self) -> None:
        """Write down what is new. Raises ``OSError``."""
        known = self._times.known()
        if self._base is None or not known or known == self._kept:
            return
        said = json.dumps({"base": self._base, "prompt_token_s": known})
        sweep(self._path.parent)
        write_file(self._path, said, durable=False)
        self._kept = known

    def _read(self, base_digest: str) -> dict[str, float]:
        try:
            found = json.loads(self._path.read_bytes())
            if found["base"] != base_digest:
                return {}
            told = {str(card): float(took) for card, took in found["prompt_token_s"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
        return {card: took for card, took in told.items() if math.isfinite(took) and took > 0}
