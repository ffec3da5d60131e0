"""`graftwork keys new`: makes an API key; only its hash goes into the configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.cli.options import DoneAsJson
from serving.cli.output import emit

app = typer.Typer(help="API keys.", no_args_is_help=True, rich_markup_mode=None)
_INFERENCE = ("inference",)


@app.command()
def new(
    name: Annotated[str, typer.Option(help="who holds the key")],
    scope: Annotated[
        list[str],
        typer.Option(help="inference, admin, reviewer or auditor; repeat for more"),
    ] = list(_INFERENCE),  # noqa: B006 - typer wants a list, and copies it
    tenant: Annotated[str, typer.Option(help="whose limits apply")] = "default",
    as_json: DoneAsJson = False,
) -> None:
    """Print a new key once, and the entry for `router.auth.keys` that recognises it."""
    from router.admit.keys import hash_key, new_key
    from router.config.auth import KeyScope

    known = [each.value for each in KeyScope]
    unknown = sorted(set(scope) - set(known))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: known are {', '.join(known)}")
    key = new_key()
    if as_json:
        stated = {"name": name, "tenant": tenant, "scopes": scope, "sha256": hash_key(key)}
        emit({"key": key, "entry": stated})
        return
    typer.echo(f"key (shown once): {key}")
    typer.echo("add to applications.0.args.router.auth.keys:")
    entry = f"name: {name}, tenant: {tenant}, scopes: [{', '.join(scope)}]"
    typer.echo(f"- {{{entry}, sha256: {hash_key(key)}}}")


@app.callback()
def _group() -> None:
    """API keys."""
