"""`graftwork doctor`: whether this machine, its network and a deploy file will work together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from serving.cli.options import StateDir
from serving.cli.output import emit, table


def doctor(
    config: Annotated[Path, typer.Option(help="deploy file")] = Path("config/local.yaml"),
    state_dir: StateDir = None,
    calls: Annotated[
        bool, typer.Option(help="ask each provider for one token, a fraction of a cent")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print the findings as JSON")] = False,
) -> None:
    """Look at machine, ports, driver, keys, stores and clock. Exits with 1 when one will not do."""
    from serving.bringup.doctor import Diagnosis, Grade, examine
    from serving.bringup.edge import port_is_free
    from serving.config.deploy import STATE_DIR, ConfigError, load

    try:
        deploy = load(config, {STATE_DIR: str(state_dir)} if state_dir is not None else None)
    except ConfigError as error:
        remedy = f"Edit {config}." if config.is_file() else "There is no such file."
        findings = [Diagnosis("config", Grade.FAIL, problem, remedy) for problem in error.problems]
    else:
        findings = [Diagnosis("config", Grade.OK, f"{config} is valid")]
        findings += examine(deploy, os.environ, is_free=port_is_free, calls=calls)
    if as_json:
        emit([each.as_dict() for each in findings])
    else:
        table(
            ("", "what", "found", "remedy"),
            [(each.grade.value, each.what, each.detail, each.remedy) for each in findings],
        )
    if any(each.grade is Grade.FAIL for each in findings):
        raise typer.Exit(1)
