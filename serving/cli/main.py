"""All commands in one place."""

from __future__ import annotations

import typer

from serving.cli import check, keys, serve

app = typer.Typer(
    name="graftwork",
    help="One OpenAI-compatible endpoint for a base model, hot-swappable LoRA adapters and frontier APIs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.serve)
app.command("check")(check.check)
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Entry point of the console script."""
    app()
