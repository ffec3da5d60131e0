"""The log: asked, verified, proven, and held against what was kept elsewhere."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlencode

from adapters.records.auditing import KINDS
from router.errors import InvalidRequest, RouterError
from serving.console.api import part
from serving.console.page import Page, Visit

_ROWS: Final = 50
_FIELDS: Final = ("since", "subject", "kind")
_VERIFYING_S: Final = 300.0


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``InvalidRequest``."""
    query = visit.query
    asked = {name: query.get(name, "").strip()[:300] for name in _FIELDS}
    cursor = query.get("cursor", "")
    found = await visit.api.get("/audit", **asked, limit=_ROWS, cursor=cursor)
    kept = {name: value for name, value in asked.items() if value}
    return {
        "asked": asked,
        "kinds": [kind.value for kind in KINDS],
        "rows": found["data"],
        "missing": found.get("missing", ()),
        "more": urlencode({**kept, "cursor": found["next"]}) if found["next"] else "",
        "is_first": not cursor,
        "verdict": await _verdict(visit),
        "checkpoint": await visit.api.get("/audit/checkpoint") if "checkpoint" in query else None,
        "proof": await _proof(visit),
        "kept": visit.form.get("kept", ""),
        "held": await _held(visit),
    }


async def _verdict(visit: Visit) -> dict[str, Any] | None:
    """Of the whole log, where somebody asked for it."""
    if "verify" not in visit.query:
        return None
    reply = await visit.api.reply("GET", "/audit/verify", wait_s=_VERIFYING_S)
    found = reply.json()
    if reply.status != 200 or not isinstance(found, dict):
        raise InvalidRequest("The log could not be verified.")
    return found


async def _proof(visit: Visit) -> dict[str, Any] | None:
    sequence, writer = visit.query.get("proof"), visit.query.get("writer", "")
    if sequence is None:
        return None
    found: dict[str, Any] = await visit.api.get(f"/audit/{part(sequence)}/proof", writer=writer)
    return found


async def _held(visit: Visit) -> dict[str, Any] | None:
    """What holding the log against a checkpoint or certificate that was pasted finds."""
    text = visit.form.get("kept", "")
    if not text:
        return None
    try:
        given = json.loads(text)
        if not isinstance(given, dict):
            raise TypeError  # noqa: TRY301 - the same is said of both
    except (ValueError, TypeError, RecursionError):
        return {"ok": False, "problems": [{"detail": "That is no JSON object."}]}
    kind = "certificate" if "subject_hash" in given else "checkpoint"
    try:
        found: dict[str, Any] = await visit.api.send("POST", "/audit/verify", {kind: given})
    except RouterError as error:
        return {"ok": False, "problems": [{"detail": error.message}]}
    return found


async def act(_: Visit) -> None:
    """What was pasted is shown with the verdict on it; nothing is changed."""


PAGE = Page(
    "/audit",
    "Audit",
    "audit.html",
    show,
    act,
    place=90,
    max_bytes=256 * 1024,
)
