"""`graftwork tune`: faster LoRA kernels for this card and model, in minutes."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from serving.cli.options import DoneAsJson
from serving.cli.output import emit, fail

_GPU = Path("config/gpu.yaml")


def tune(
    config: Annotated[Path, typer.Option(help="deploy file of the engine")] = Path(
        "config/gpu.yaml"
    ),
    processes: Annotated[
        int, typer.Option(min=1, help="that compile at once; each takes 1 GiB of the GPU")
    ] = min(8, os.cpu_count() or 1),
    as_json: DoneAsJson = False,
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
        fail("there is no CUDA GPU here: tune on the card that will serve")
    choice.keep_caches(settings)
    base = read_base(
        model_directory(settings.base),
        base_id(settings.base),
        also_known_as=other_names(settings.base),
    )
    from serving.engine.kernels.measure import tune as measure

    wanted = choice.wanted(settings, base, card)
    tables = measure(wanted, partial(typer.echo, err=as_json), processes=processes)
    folder = choice.measured(settings)
    written = []
    for kernel, table in tables.items():
        path = folder / wanted.file(kernel)
        files.write(path, files.merged(files.read(path), table))
        written.append(str(path))
    if as_json:
        emit({"card": card, "files": written})
        return
    for name in written:
        typer.echo(f"wrote {name}")
