"""What an engine on a GPU runs with: its caches, kernel settings and warm adapter kernels."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from adapters.format.base_model import BaseFacts
from serving.config.settings import Settings
from serving.engine.kernels import files, shapes

_CACHES = {"VLLM_CACHE_ROOT": "vllm", "TRITON_CACHE_DIR": "triton"}


def card() -> str | None:
    """The GPU's name, by NVML: asking CUDA would take a context in this process. None: no GPU."""
    from vllm.platforms import current_platform

    return current_platform.get_device_name() if current_platform.is_cuda() else None


def wanted(settings: Settings, base: BaseFacts, card_name: str) -> files.Wanted:
    """What the engine of these settings runs."""
    parallel = int(settings.engine.vllm.get("tensor_parallel_size", 1))
    return files.Wanted(
        card=card_name,
        max_loras=settings.engine.max_loras,
        rank=settings.engine.max_lora_rank,
        shapes=tuple(shapes.shapes(base.linears, parallel)),
    )


def measured(settings: Settings) -> Path:
    """Where `graftwork tune` writes."""
    return settings.state_dir.absolute() / "kernels" / "measured"


def keep_caches(settings: Settings, environment: MutableMapping[str, str] = os.environ) -> None:
    """What is compiled at one start is there at the next: below ``state_dir``, unless told."""
    for name, folder in _CACHES.items():
        environment.setdefault(name, str(settings.state_dir.absolute() / "compiled" / folder))


def choose(
    settings: Settings,
    base: BaseFacts,
    card_name: str,
    environment: MutableMapping[str, str] = os.environ,
) -> Path | None:
    """Have vLLM take the settings that were measured for this engine; None where there are none.

    A folder that the operator named goes before. Raises ``OSError`` and ``ValueError``.
    """
    if files.ENVIRONMENT in environment:
        return Path(environment[files.ENVIRONMENT])
    engine = wanted(settings, base, card_name)
    into = settings.state_dir.absolute() / "kernels" / base.digest[:12]
    folder = files.lay_out(engine, measured(settings), into)
    if folder is not None:
        environment[files.ENVIRONMENT] = str(folder)
    return folder
