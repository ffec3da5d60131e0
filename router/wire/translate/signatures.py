"""Google's signatures of thoughts: opaque, and to be given back with the call that they came with.

Chat has them where Google's own OpenAI-compatible API puts them, ``extra_content`` of a tool call.
Messages has no such place; its thinking blocks have a ``signature``, which clients give back as it
is. A mark tells those from the signatures of other models, which mean nothing to Google.
"""

from __future__ import annotations

import re
from typing import Any, Final

Json = dict[str, Any]
_MARK: Final = "google."
_OPAQUE: Final = re.compile(r"[A-Za-z0-9+/_=-]+")


def signature_in(said: Json) -> str | None:
    """The signature of a chat message, delta or tool call; None: it has none that could be one."""
    extra = said.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    return _opaque(google.get("thought_signature")) if isinstance(google, dict) else None


def signed(signature: object) -> Json:
    """What a chat message, delta or tool call with this signature has besides; {} without one."""
    found = _opaque(signature)
    return {} if found is None else {"extra_content": {"google": {"thought_signature": found}}}


def thinking_block(signature: str) -> Json:
    """The Messages block that keeps it, to be put before the call."""
    return {"type": "thinking", "thinking": "", "signature": _MARK + signature}


def signature_of(block: Json) -> str | None:
    """The signature in a Messages block, where it is one of Google's."""
    found = block.get("signature") if block.get("type") == "thinking" else None
    if not isinstance(found, str) or not found.startswith(_MARK):
        return None
    return _opaque(found.removeprefix(_MARK))


def _opaque(found: object) -> str | None:
    return found if isinstance(found, str) and _OPAQUE.fullmatch(found) else None
