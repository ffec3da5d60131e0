"""Where the answers and events of each dialect tell their tokens' probabilities.

Chat and completions tell them in each choice, of which only the first counts. Responses tell them
with each piece of text, and once more in everything that repeats it. Messages have no place for
them: a call that was made as chat gets them as one more field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Found = dict[str, Any]


def told_in(found: Found) -> Iterator[Found]:
    """What is told here for the first time, in chat's or completions' shape."""
    if isinstance(found.get("choices"), list):
        for choice in _choices(found):
            if choice.get("index", 0) == 0:
                yield choice["logprobs"]
    elif found.get("object") == "response":
        for part in _parts(found.get("output")):
            yield {"content": part.get("logprobs")}
    elif found.get("type") == "response.output_text.delta":
        yield {"content": found.get("logprobs")}
    elif isinstance(found.get("logprobs"), dict):  # Messages
        yield found["logprobs"]


def strip_from(found: Found) -> bool:
    """Leave the answer or event as it would be without; whether it was another one."""
    if isinstance(found.get("choices"), list):
        choices = list(_choices(found))
        for choice in choices:
            choice["logprobs"] = None
        return bool(choices)
    if found.get("object") == "response":
        return _strip_response(found)
    if isinstance(found.get("type"), str) and found["type"].startswith("response."):
        return _strip_event(found)
    return found.pop("logprobs", _ABSENT) is not _ABSENT


_ABSENT = object()


def _choices(found: Found) -> Iterator[Found]:
    for choice in found["choices"]:
        if isinstance(choice, dict) and isinstance(choice.get("logprobs"), dict):
            yield choice


def _strip_event(event: Found) -> bool:
    if isinstance(event.get("response"), dict):
        return _strip_response(event["response"])
    if event["type"] == "response.output_text.delta":
        changed = bool(event.get("logprobs"))
        if changed:
            event["logprobs"] = []  # vLLM says so where it was not asked
        return changed
    return _strip_parts([event.get("part")], event.get("item"))


def _strip_response(response: Found) -> bool:
    changed = response.get("top_logprobs") is not None
    if changed:
        response["top_logprobs"] = None
    output = response.get("output")
    return _strip_parts(_parts(output)) or changed


def _strip_parts(parts: Any, *items: Any) -> bool:
    changed = False
    for part in [*parts, *_parts(items)]:
        if isinstance(part, dict) and part.get("logprobs"):
            part["logprobs"], changed = None, True
    return changed


def _parts(items: Any) -> Iterator[Found]:
    """The parts of the content of output items."""
    for item in items if isinstance(items, list | tuple) else ():
        content = item.get("content") if isinstance(item, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict):
                yield part
