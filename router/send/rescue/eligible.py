"""Which requests can be continued in the middle, by what they ask for."""

from __future__ import annotations

from typing import Any

from router.wire.formats.base import BOUNDS, Format

Body = dict[str, Any]

_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "thinking": ({"type": "disabled"},),
    # Of Responses; their tools answer with items of their own, so there are none.
    "tools": ([],),
    "include": ([],),
    "background": (False,),
    "text": ({"format": {"type": "text"}},),
    "truncation": ("disabled",),
}
_FREE_CHOICES = frozenset({"auto", "none"})


def obstacle(wire: Format, body: Body) -> str | None:
    """Why a stream for this request cannot be continued; None: it can."""
    known = wire.continues
    if known is None:
        return f"streams of {wire.endpoint} are not continued"
    for name, value in body.items():
        if value is None or name in known or value in _HARMLESS.get(name, ()):
            continue
        return f"a stream with {name!r} is not continued"
    choice = body.get("tool_choice") or "auto"
    if (choice.get("type") if isinstance(choice, dict) else choice) not in _FREE_CHOICES:
        return "a stream that must call a tool is not continued"
    return wire.obstacle(body)


def rest_of(body: Body, used: int) -> Body:
    """The body for the continuation, when ``used`` tokens were sent already."""
    found = dict(body)
    for name, least in (*((bound, 1) for bound in BOUNDS), ("min_tokens", 0)):
        limit = found.get(name)
        if isinstance(limit, int) and not isinstance(limit, bool):
            found[name] = max(least, limit - used)
    return found


def limit_of(body: Body) -> int | None:
    """The client's bound on the answer, tokens."""
    limits = [body.get(bound) for bound in BOUNDS]
    found = [n for n in limits if isinstance(n, int) and not isinstance(n, bool)]
    return min(found) if found else None
