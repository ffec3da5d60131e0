"""What `graftwork serve` says when everything is up: what can answer, and how to ask it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Both import Ray, for which the environment has to be set first.
    from serving.config.deploy import Deploy

_BODY = '{"model": "auto", "messages": [{"role": "user", "content": "How do I return a lamp?"}]}'


def has_keys(deploy: Deploy) -> bool:
    """Whether requests need a key."""
    auth = deploy.settings.router.auth
    return bool(auth.keys or auth.keys_file or auth.tokens)


def banner(deploy: Deploy, url: str, adapters: Sequence[str] | None, logs: str) -> list[str]:
    """The lines, each of which fits a terminal. ``adapters``: None when a key is needed to ask."""
    from adapters.format.files import few
    from serving.engine.model import base_id

    settings = deploy.settings
    frontiers = few(f"{p.name}/{m.id}" for p in settings.router.providers for m in p.models)
    shown = "graftwork adapters lists them (GRAFTWORK_API_KEY: a key of scope admin)"
    if adapters is not None:
        shown = few(adapters) or "none yet: graftwork push ALIAS DIRECTORY"
    return [
        f"  base       {base_id(settings.base)}",
        f"  adapters   {shown}",
        f"  frontier   {frontiers or 'none configured'}",
        f"  console    {url}/console",
        f"  reference  {url}/docs and {url}/admin/v1/docs",
        f"  watching   {settings.adapters.within(settings.state_dir).store}",
        f"  logs       {logs}",
        *_how_to_ask(url, with_key=has_keys(deploy)),
        "Ctrl-C stops everything.",
    ]


def _how_to_ask(url: str, *, with_key: bool) -> list[str]:
    lines = ["", "try it:"]
    if with_key:
        lines.append("  export GRAFTWORK_API_KEY=...   # one of your keys, of scope inference")
    lines.append(f"  curl {url}/v1/chat/completions -H 'content-type: application/json' \\")
    if with_key:
        lines.append('    -H "authorization: Bearer $GRAFTWORK_API_KEY" \\')
    return [*lines, f"    -d '{_BODY}'", ""]
