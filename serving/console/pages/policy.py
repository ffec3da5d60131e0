"""The rules that hold and those that are tried: put, promoted, rolled back; what they did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from router.config.auth import KeyScope
from router.errors import InvalidRequest, Refused
from serving.console import charts
from serving.console.page import Page, Visit

_NEWEST: Final = 1000
_MAX_BYTES: Final = 4 * 1024 * 1024
"""A rules file of a mebibyte, spelled as forms spell it."""
_YAML: Final = "application/yaml"


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets."""
    now = await visit.api.get("/policy")
    active, shadow = now["active"], now["shadow"]
    typed = visit.form.get("source")
    kept = (shadow or active or {}).get("source") or ""
    decisions = await visit.api.perhaps("/decisions", limit=_NEWEST)
    return {
        "active": active,
        "shadow": shadow,
        "seen": _marked(now),
        "warnings": now.get("warnings", ()),
        "source": kept if typed is None else typed,
        "hits": _hits((decisions or {"data": ()})["data"]),
        "counted": len((decisions or {"data": ()})["data"]),
        "differences": await visit.api.get("/policy/shadow") if shadow else None,
        "diff": (await visit.api.get("/policy/diff"))["diff"] if shadow and active else "",
        "history": await visit.api.rows("/policy/history", limit=20),
    }


def _hits(decisions: Any) -> list[dict[str, Any]]:
    """How often each rule applied, the busiest first."""
    counts: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    for each in decisions:
        policy = (each.get("decided") or {}).get("policy") or {}
        counts.update(str(rule) for rule in policy.get("rules") or ())
        if policy.get("denied_by"):
            denied[str(policy["denied_by"])] += 1
    most = max(counts.values(), default=0)
    return [
        {
            "rule": rule,
            "number": number,
            "denied": denied[rule],
            "bar": charts.meter(f"Requests under {rule}", number, most),
        }
        for rule, number in counts.most_common(50)
    ]


async def act(visit: Visit) -> str:
    """Put, promote or roll back rules. Raises ``RouterError``."""
    what = visit.form.get("do", "")
    if seen := visit.form.get("seen"):
        await _unchanged(visit, seen)
    if what in ("put", "shadow"):
        source = visit.form.get("source", "").encode()
        stage = "shadow" if what == "shadow" else "live"
        await visit.api.send("PUT", "/policy", source, media_type=_YAML, stage=stage)
    elif what in ("promote", "rollback"):
        await visit.api.send("POST", f"/policy/{what}")
    else:
        raise InvalidRequest("There is no such button.")
    return f"/policy?done={what}"


async def _unchanged(visit: Visit, seen: str) -> None:
    """Whoever opened the page before somebody else changed the rules does not undo that unseen.

    Raises ``Refused``; what was typed is shown again, with what holds by now.
    """
    if _marked(await visit.api.get("/policy")) != seen:
        raise Refused(
            409,
            "Somebody has changed the rules since you opened this page. What you typed is still"
            " below: compare it with what holds now, then send it again.",
        )


def _marked(policy: Mapping[str, Any]) -> str:
    """Which rules hold, and which are tried."""
    return "/".join((policy[stage] or {}).get("version") or "-" for stage in ("active", "shadow"))


PAGE = Page(
    "/policy",
    "Policy",
    "policy.html",
    show,
    act,
    scope=KeyScope.ADMIN,
    place=70,
    live=("policy",),
    said={
        "put": "The rules hold now.",
        "shadow": "The rules are tried in the shadow: they decide nothing.",
        "promote": "The rules from the shadow hold now.",
        "rollback": "The rules from before hold again.",
    },
    max_bytes=_MAX_BYTES,
)
