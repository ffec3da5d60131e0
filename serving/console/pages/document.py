"""One document with its chunks, as answers are shown them."""

from __future__ import annotations

from typing import Any

from router.config.auth import KeyScope
from serving.console.api import part
from serving.console.page import Page, Visit


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``RouterError``."""
    found = await visit.api.get(f"/documents/{part(visit.path['id'])}")
    names = ("id", "collection", "tenant", "type", "created", "tokens", "metadata")
    return {"document": found, "facts": {name: found[name] for name in names}}


PAGE = Page("/documents/{id}", "Document", "document.html", show, scope=KeyScope.ADMIN)
