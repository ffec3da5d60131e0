"""What is permitted for this caller and intent, by rules over targets, regions, tenants and keys.

A full rule language with obligations attaches here: whatever it is, the rest of the path asks only
``Permission.why_not``, and every retry, fallback and escalation sees what it left (law 5).
"""

from __future__ import annotations

from router.errors import Forbidden
from router.policy.permission import Permission, PolicyBook
from router.request import Caller, Intent


def permit(caller: Caller | None, intent: Intent, book: PolicyBook) -> Permission:
    """The caller's permission. Raises ``Forbidden`` when nobody is authenticated."""
    if caller is None:
        raise Forbidden("Nobody is authenticated.", code="policy_denied")
    return book.permission(caller, intent.name)
