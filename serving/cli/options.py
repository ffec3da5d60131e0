"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8000"

Url = Annotated[str, typer.Option(envvar="GRAFTWORK_URL", help="where Graftwork listens")]
Key = Annotated[
    str | None,
    typer.Option(envvar="GRAFTWORK_API_KEY", help="API key, where the server has keys"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print the server's answer as JSON")]
DoneAsJson = Annotated[bool, typer.Option("--json", help="print what was done as JSON")]
StateDir = Annotated[
    Path | None,
    typer.Option(help="state directory, as `graftwork serve` was given; default: as in the file"),
]
Alias = Annotated[str, typer.Argument(help="the adapter's name", metavar="ALIAS")]
Digest = Annotated[
    str, typer.Argument(help="the version: its digest, or the first 12 digits", metavar="DIGEST")
]
Percent = Annotated[
    float,
    typer.Argument(help="share of the adapter's traffic, above 0 to 100", metavar="PERCENT"),
]
Base = Annotated[
    Path | None,
    typer.Option(
        help="the base that will serve: its directory, or smollm2; default: the embedded one",
        metavar="DIRECTORY",
    ),
]
MaxRank = Annotated[
    int | None,
    typer.Option(min=1, help="the engine's max_lora_rank; default: the configuration's default"),
]
