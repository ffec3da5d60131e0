"""After the ranking: sessions keep their target, and a small share explores."""

from __future__ import annotations

from router.choose.ranking import TIE, Candidate
from router.choose.refusals import Code
from router.choose.sessions import SessionTarget
from router.replicas.rendezvous import share, weight

_AS_GOOD = 0.02
"""Difference of expected quality that does not tell two targets apart."""


def keep_session(
    ordered: list[Candidate],
    last: SessionTarget | None,
    session: str,
    *,
    risk: float | None,
    slack: float,
) -> bool:
    """Put the session's target first unless it is not permitted or clearly worse.

    A session that nobody remembers goes, among equals, where every router would send it. Returns
    whether a remembered target was kept.
    """
    allowed = [candidate for candidate in ordered if candidate.refusal is None]
    if not allowed:
        return False
    if last is not None:
        kept = next((c for c in allowed if _same(c, last.target)), None)
        if kept is not None and _good_enough(kept, allowed[0], risk, slack):
            kept.code, kept.why = Code.SESSION, "answered this session before"
            _to_front(ordered, kept)
            return True
    leaders = [c for c in allowed if _equal(c, allowed[0])]
    if len(leaders) > 1:
        _to_front(ordered, max(leaders, key=lambda c: weight(session, c.card.target)))
    return False


def _same(candidate: Candidate, target: str) -> bool:
    """An adapter is the same through its versions: a session follows a promotion."""
    if candidate.card.alias is None:
        return candidate.card.target == target
    current = candidate.code is not Code.VERSION_BEFORE
    return current and target.partition("@")[0] == f"adapter:{candidate.card.alias}"


def _good_enough(kept: Candidate, best: Candidate, risk: float | None, slack: float) -> bool:
    if risk is not None and 1.0 - kept.quality <= risk:
        return True
    return kept.quality >= best.quality - slack - 1e-9


def _equal(one: Candidate, other: Candidate) -> bool:
    return (
        one.tier == other.tier
        and abs(one.cost_usd - other.cost_usd) <= TIE * max(one.cost_usd, other.cost_usd)
        and abs(one.quality - other.quality) <= _AS_GOOD
    )


def explored(ordered: list[Candidate], request_id: str, epsilon: float) -> bool:
    """For a share ``epsilon`` of requests, put another permitted target first; sampled by hash."""
    if epsilon <= 0 or share(request_id, "explore") >= epsilon:
        return False
    allowed = [c for c in ordered if c.refusal is None]
    others = [c for c in allowed[1:] if c.code is not Code.VERSION_BEFORE]
    if not others:
        return False
    tried = max(others, key=lambda c: weight(request_id, c.card.target))
    tried.code, tried.why = Code.EXPLORED, "tried to learn how good it is"
    _to_front(ordered, tried)
    return True


def _to_front(ordered: list[Candidate], candidate: Candidate) -> None:
    ordered.remove(candidate)
    ordered.insert(0, candidate)
