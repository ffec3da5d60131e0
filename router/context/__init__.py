"""What the model sees beyond the client's own words.

Once a request, before anybody is asked: what is retrieved is the same for all targets. Then once a
target, since it has to fit into *that* target's window: retries and fallbacks get their own.
"""

from __future__ import annotations

from typing import Any

from router.exchange import Bodies
from router.request import Option, Request


def bodies(request: Request) -> Bodies:
    """What each target is sent: the client's own body under the target's name for the model."""
    body = request.body

    async def of(option: Option) -> dict[str, Any]:
        return {**body, "model": option.engine_name or option.target.partition("/")[2]}

    return of
