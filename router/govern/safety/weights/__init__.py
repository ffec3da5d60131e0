"""The trained weights: words and what they count, and the head over a text's vector.

Written by ``scripts/safety/train.py`` from public data; ``README.md`` here names it with its
licences. None of the data is here.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from router.govern.safety.linear import Linear

_HERE: Final = Path(__file__).parent
_Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """A small network over a text's vector: one hidden layer, one score.

    Attributes:
        hidden, hidden_bias, out, out_bias: its weights.
    """

    hidden: _Floats
    hidden_bias: _Floats
    out: _Floats
    out_bias: float

    def score(self, vector: _Floats) -> float:
        """Log odds."""
        inner = np.maximum(vector @ self.hidden + self.hidden_bias, 0.0)
        return float(inner @ self.out) + self.out_bias


def linear(name: str) -> Linear:
    """A model over words: ``harm`` or ``injection``."""
    found = json.loads((_HERE / f"{name}.json").read_text())
    return Linear(found["bias"], found["weights"])


def head(name: str) -> Head:
    """A model over vectors: ``harm``."""
    found = json.loads((_HERE / f"{name}_head.json").read_text())
    arrays = {key: _array(found[key]) for key in ("hidden", "hidden_bias", "out")}
    return Head(**arrays, out_bias=found["out_bias"])


def packed(array: _Floats) -> dict[str, Any]:
    """An array as JSON: its shape, and its numbers as base64 of half floats."""
    raw = np.asarray(array, "<f2").tobytes()
    return {"shape": list(array.shape), "float16": base64.b64encode(raw).decode()}


def _array(found: dict[str, Any]) -> _Floats:
    raw = np.frombuffer(base64.b64decode(found["float16"]), "<f2")
    return raw.astype(np.float32).reshape(found["shape"])
