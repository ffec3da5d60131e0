"""`graftwork tune`: faster LoRA kernels for this card and model, in minutes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

_GPU = Path("config/gpu.yaml")


def tune(
    config: Annotated[Path, typer.Option(help="deploy file of the engine")] = Path(
        "config/gpu.yaml"
    ),
    processes: Annotated[
        int, typer.Option(min=1, help="that compile at once; each takes 1 GiB of the GPU")
    ] = min(8, os.cpu_count() or 1),
) -> None:
    """Measure settings of vLLM's LoRA kernels on this GPU; engines take them at their next start.

    The GPU must be idle: stop the engines that use it.
    """
    from adapters.format.base_model import read_base
    from serving.config.deploy import load
    from serving.engine.kernels import choice, files
    from serving.engine.model import base_id, model_directory, other_names

    os.environ.pop(files.ENVIRONMENT, None)
    settings = load(config).settings
    card = choice.card()
    if card is None:
        typer.echo("There is no CUDA GPU here: tune on the card that will serve.", err=True)
        raise typer.Exit(1)
    choice.keep_caches(settings)
    base = read_base(
        model_directory(settings.base),
        base_id(settings.base),
        also_known_as=other_names(settings.base),
    )
    from serving.engine.kernels.measure import tune as measure

    wanted = choice.wanted(settings, base, card)
    tables = measure(wanted, typer.echo, processes=processes)
    folder = choice.measured(settings)
    for kernel, table in tables.items():
        path = folder / wanted.file(kernel)
        files.write(path, files.merged(files.read(path), table))
        typer.echo(f"wrote {path}")
