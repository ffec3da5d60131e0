"""`graftwork keys new`: makes an API key; only its hash goes into the configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from router.config import Scope
from router.keys import hash_key, new_key

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command()
def new(
    name: Annotated[str, typer.Option(help="who holds the key")],
    scope: Annotated[list[Scope], typer.Option(help="what it may do; repeat for more")] = [  # noqa: B006
        Scope.INFERENCE
    ],
    tenant: Annotated[str, typer.Option(help="whose limits apply")] = "default",
) -> None:
    """Print a new key once, and the entry for `router.auth.keys` that recognises it."""
    key = new_key()
    scopes = ", ".join(each.value for each in scope)
    typer.echo(f"key (shown once): {key}")
    typer.echo("add to applications.0.args.router.auth.keys:")
    typer.echo(f"- {{name: {name}, tenant: {tenant}, scopes: [{scopes}], sha256: {hash_key(key)}}}")


@app.callback()
def _group() -> None:
    """API keys."""
