"""How many answers one request asks for: each is paid, and each takes a place in an engine."""

from __future__ import annotations

from typing import Any

from router.config.limits import LimitsConfig
from router.errors import InvalidRequest
from router.wire.endpoint import Endpoint

_PROMPTS = {Endpoint.COMPLETIONS: "prompt", Endpoint.EMBEDDINGS: "input"}


def check(endpoint: Endpoint, body: dict[str, Any], limits: LimitsConfig) -> None:
    """Raises ``InvalidRequest`` when a body asks for more than ``limits`` allow.

    What is of a wrong type is for the target to refuse: it says so in its own words.
    """
    each = max(_count(body, name, limits.max_choices) for name in ("n", "best_of"))
    name = _PROMPTS.get(endpoint)
    if name is None:
        return
    prompts = _prompts(body.get(name))
    if endpoint is Endpoint.EMBEDDINGS:
        if prompts > limits.max_inputs:
            raise _too_many(name, f"{prompts} texts", limits.max_inputs, "max_inputs")
    elif prompts * each > limits.max_choices:
        asked = f"{prompts} prompts with {each} answers each"
        raise _too_many(name, asked, limits.max_choices, "max_choices")


def _count(body: dict[str, Any], name: str, most: int) -> int:
    value = body.get(name)
    if type(value) is not int:
        return 1
    if value > most:
        raise _too_many(name, f"{value} answers", most, "max_choices")
    return max(value, 1)


def _prompts(value: Any) -> int:
    """A list is many prompts, unless it is one prompt as token ids."""
    if type(value) is not list or not value or type(value[0]) is int:
        return 1
    return len(value)


def _too_many(param: str, asked: str, most: int, setting: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param!r} asks for {asked}; at most {most} are given at once (limits.{setting}).",
        code="too_many_choices",
        param=param,
    )
