"""`graftwork check-adapter`, shared with `push --dry-run`: preflight without a server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.cli.options import AsJson, Base, MaxRank
from serving.cli.output import emit, fail, table

if TYPE_CHECKING:
    from adapters.format.base_model import BaseFacts
    from adapters.format.preflight import PreflightLimits


def check_adapter(
    source: Annotated[
        Path,
        typer.Argument(
            help="PEFT directory, or an archive of one", metavar="DIRECTORY", exists=True
        ),
    ],
    base: Base = None,
    max_rank: MaxRank = None,
    as_json: AsJson = False,
) -> None:
    """Check an adapter offline. Shows all checks of a push; exit code 1 when one fails."""
    report = inspected(source, base, max_rank)
    if as_json:
        emit(report)
    else:
        show_checks(report["checks"])
    failed = [check for check in report["checks"] if not check["ok"]]
    if failed:
        fail(f"{source}: {len(failed)} of {len(report['checks'])} checks failed")
    if not as_json:
        typer.echo(f"{source}: fit for {report['base']}")


def inspected(
    source: Path, base: Path | None, max_rank: int | None, alias: str | None = None
) -> dict[str, Any]:
    """The report that a push would get: ``ok``, ``digest``, ``base`` and every check."""
    from adapters.errors import AdapterError
    from adapters.format.checkpoint import find_adapter
    from adapters.format.preflight import preflight

    try:
        facts = _facts(base)
        with _as_directory(source) as directory:
            found = find_adapter(directory, alias)
            report = preflight(found, facts, _limits(max_rank), alias=alias)
            digest = _digest(found) if report.ok else None
    except AdapterError as error:
        fail(error.advice)
    return {"base": facts.base_id, "digest": digest, **report.model_dump(mode="json")}


def show_checks(checks: Sequence[dict[str, Any]], *, err: bool = False) -> None:
    """Every check with its verdict; what failed says what was found and what was expected."""
    rows = [
        (_verdict(check), check["name"], _found(check), check["expected"], check["message"])
        for check in checks
    ]
    table(("", "check", "found", "expected", "what it means"), rows, err=err)


def _found(check: dict[str, Any]) -> str:
    """What failed is named to the last."""
    items = check.get("items") or ()
    return str(check["found"]) if check["ok"] or not items else "; ".join(items)


def _verdict(check: dict[str, Any]) -> str:
    if check.get("skipped"):
        return "skipped"
    return "ok" if check["ok"] else "FAILED"


def _facts(base: Path | None) -> BaseFacts:
    from adapters.format.base_model import read_base
    from serving.embedded import BASE_DIR, BASE_MODEL_ID
    from serving.smollm2 import HUB_ID, MODEL_ID, NAME
    from serving.smollm2.prepared import ready

    if base is None:
        return read_base(BASE_DIR, BASE_MODEL_ID)
    if str(base) == NAME:
        made = ready()
        if made is None:
            fail("SmolLM2 is not here yet: `graftwork serve --base smollm2` fetches it")
        return read_base(made, MODEL_ID, also_known_as=(HUB_ID,))
    if not base.is_dir():
        fail(f"{base} is no directory: name one, or {NAME}")
    return read_base(base, base.resolve().name)


def _limits(max_rank: int | None) -> PreflightLimits:
    from serving.config.settings import Settings

    limits = Settings().adapters_here().preflight
    return limits if max_rank is None else limits.model_copy(update={"max_lora_rank": max_rank})


def _digest(directory: Path) -> str:
    from adapters.format.manifest import digest_directory

    return digest_directory(directory)


@contextmanager
def _as_directory(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield source
        return
    from adapters.format.archive import unpack

    with tempfile.TemporaryDirectory(prefix="graftwork-check-") as scratch:
        yield unpack(source, Path(scratch) / "files")
