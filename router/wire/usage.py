"""Token counts, read in each dialect."""

from __future__ import annotations

from typing import Any

from router.wire.endpoint import Usage


def record(usage: Usage, found: object) -> None:
    """Read a ``usage`` object of any dialect into ``usage``; counts that it lacks stay as they are.

    ``input_tokens`` is the whole prompt, cached part included, in every dialect: Anthropic counts
    cached tokens apart, OpenAI counts them in.
    """
    if not isinstance(found, dict):
        return
    if "prompt_tokens" in found:
        _from_chat(usage, found)
    elif "cache_read_input_tokens" in found or "cache_creation_input_tokens" in found:
        _from_messages(usage, found)
    else:
        _from_responses(usage, found)


def _from_chat(usage: Usage, found: dict[str, Any]) -> None:
    usage.input_tokens = _count(found, "prompt_tokens", usage.input_tokens)
    usage.output_tokens = _count(found, "completion_tokens", usage.output_tokens)
    usage.cached_input_tokens = _cached(found.get("prompt_tokens_details"), usage)


def _from_messages(usage: Usage, found: dict[str, Any]) -> None:
    read = _count(found, "cache_read_input_tokens", None)
    written = _count(found, "cache_creation_input_tokens", None)
    fresh = _count(found, "input_tokens", None)
    if fresh is not None:
        usage.input_tokens = fresh + (read or 0) + (written or 0)
    if read is not None:
        usage.cached_input_tokens = read
    usage.output_tokens = _count(found, "output_tokens", usage.output_tokens)


def _from_responses(usage: Usage, found: dict[str, Any]) -> None:
    fresh = _count(found, "input_tokens", None)
    # Anthropic's closing event repeats a bare count without the cached part: keep the larger.
    if fresh is not None:
        usage.input_tokens = max(fresh, usage.input_tokens or 0)
    usage.output_tokens = _count(found, "output_tokens", usage.output_tokens)
    usage.cached_input_tokens = _cached(found.get("input_tokens_details"), usage)


def _cached(details: object, usage: Usage) -> int | None:
    if isinstance(details, dict):
        return _count(details, "cached_tokens", usage.cached_input_tokens)
    return usage.cached_input_tokens


def _count(found: dict[str, Any], name: str, otherwise: int | None) -> int | None:
    value = found.get(name)
    return value if isinstance(value, int) else otherwise
