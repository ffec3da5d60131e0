"""All commands in one place. Each imports what is heavy only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.cli import (
    adapters,
    audit,
    backup,
    check,
    clusters,
    datasets,
    decisions,
    distill,
    doctor,
    documents,
    erase,
    exchanges,
    export,
    gate,
    init,
    inspect,
    keys,
    look,
    plan,
    policy,
    push,
    quality,
    reviews,
    serve,
    trace,
    tune,
    usage,
)

app = typer.Typer(
    name="graftwork",
    help="One OpenAI-compatible endpoint over one base model, hot-swappable LoRA adapters and "
    "frontier APIs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("init")(init.init)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("push")(push.push)
app.command("check-adapter")(inspect.check_adapter)
app.command("adapters")(adapters.adapters)
app.command("promote")(adapters.promote)
app.command("canary")(adapters.canary)
app.command("shadow")(adapters.shadow)
app.command("rollback")(adapters.rollback)
app.command("retire")(adapters.retire)
app.command("gc")(adapters.gc)
app.command("export")(export.export)
app.command("trace")(trace.trace)
app.command("why")(trace.why)
app.command("replicas")(look.replicas)
app.command("events")(look.events)
app.command("tune")(tune.tune)
app.command("plan")(plan.plan)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("usage")(usage.usage)
app.command("erase")(erase.erase)
app.command("drift")(usage.drift)
app.command("decide")(decisions.decide)
app.command("replay")(decisions.replay)
app.add_typer(audit.app, name="audit")
app.add_typer(clusters.app, name="clusters")
app.add_typer(decisions.app, name="decisions")
app.add_typer(distill.app, name="distill")
app.add_typer(datasets.app, name="datasets")
app.add_typer(documents.app, name="documents")
app.add_typer(exchanges.app, name="exchanges")
app.add_typer(gate.app, name="gate")
app.add_typer(policy.app, name="policy")
app.add_typer(quality.app, name="quality")
app.add_typer(reviews.app, name="reviews")
app.add_typer(keys.app, name="keys")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"graftwork {version('graftwork')}")
        except PackageNotFoundError:
            typer.echo("graftwork, not installed: run from its source")
        raise typer.Exit


@app.callback()
def _graftwork(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="say which one"),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    app()
