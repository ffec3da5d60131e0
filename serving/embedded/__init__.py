"""The embedded default model: a small base and two LoRA adapters made by this project.

Importing this package is cheap: it only names where the trained files lie.
"""

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent

BASE_DIR: Final[Path] = _HERE / "base"
ADAPTERS_DIR: Final[Path] = _HERE / "adapters"
BASE_MODEL_ID: Final[str] = "graftwork-retail-4m"

__all__ = ["ADAPTERS_DIR", "BASE_DIR", "BASE_MODEL_ID"]
