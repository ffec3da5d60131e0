"""Google's signatures of thoughts: opaque, and to be given back with the call that they came with.

Chat has them where Google's own OpenAI-compatible API puts them, ``extra_content`` of a tool call.
Messages has no such place; its thinking blocks have a ``signature``, and the reasoning of Responses
``encrypted_content``, which clients give back as they are. A mark tells those from the signatures
of other models, which mean nothing to Google.
"""

from __future__ import annotations

import re
from typing import Any, Final

Json = dict[str, Any]
_MARK: Final = "google."
FOREIGN: Final = "rs_graftwork_"
"""How the ids of thoughts begin that a model had whose own API is not Responses."""
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


def sealed(signature: str) -> str:
    """The signature as ``encrypted_content`` of an item of reasoning, which clients give back."""
    return _MARK + signature


def unsealed(item: Json) -> str | None:
    """The signature in an item of reasoning, where it is one of Google's."""
    found = item.get("encrypted_content")
    if not isinstance(found, str) or not found.startswith(_MARK):
        return None
    return _opaque(found.removeprefix(_MARK))


def without_foreign_reasoning(items: Any) -> Any:
    """The input of Responses for OpenAI, which refuses thoughts that it did not think itself."""
    if not isinstance(items, list) or not any(map(_is_foreign_reasoning, items)):
        return items
    return [item for item in items if not _is_foreign_reasoning(item)]


def without_signatures(messages: Any) -> Any:
    """Chat's messages for a model to which they mean nothing; the same where there are none."""
    return _each(messages, _unsigned)


def without_foreign_thoughts(messages: Any) -> Any:
    """Messages' turns for Claude, which refuses thoughts that it did not sign.

    Those of other models came through this router: they have no signature, or one of Google's.
    """
    return _each(messages, _claudes)


def _each(found: Any, change: Any) -> Any:
    if not isinstance(found, list):
        return found
    changed = [change(each) if isinstance(each, dict) else each for each in found]
    return found if all(new is old for new, old in zip(changed, found, strict=True)) else changed


def _unsigned(said: Json) -> Json:
    calls = _each(said.get("tool_calls"), _unsigned)
    if "extra_content" not in said and calls is said.get("tool_calls"):
        return said
    found = {name: value for name, value in said.items() if name != "extra_content"}
    return found if calls is None else {**found, "tool_calls": calls}


def _claudes(turn: Json) -> Json:
    content = turn.get("content")
    if turn.get("role") != "assistant" or not isinstance(content, list):
        return turn
    kept = [block for block in content if not _is_foreign(block)]
    return turn if len(kept) == len(content) or not kept else {**turn, "content": kept}


def _is_foreign_reasoning(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    return str(item.get("id")).startswith(FOREIGN) or unsealed(item) is not None


def _is_foreign(block: Any) -> bool:
    if not isinstance(block, dict) or block.get("type") != "thinking":
        return False
    signature = block.get("signature")
    return signature == "" or (isinstance(signature, str) and signature.startswith(_MARK))


def _opaque(found: object) -> str | None:
    return found if isinstance(found, str) and _OPAQUE.fullmatch(found) else None
