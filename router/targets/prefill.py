"""Asking a target to go on from what the assistant said so far, in each dialect."""

from __future__ import annotations

from typing import Any

from router.config.providers import PrefillStyle
from router.targets.base import Call
from router.wire.endpoint import Endpoint

Body = dict[str, Any]


def continued(call: Call, style: PrefillStyle) -> Body:
    """The body with the prefill in it; the call's own when there is none to add."""
    if not call.prefill:
        return call.body
    if call.endpoint is Endpoint.COMPLETIONS:
        return {**call.body, "prompt": call.body["prompt"] + call.prefill}
    if call.endpoint is Endpoint.RESPONSES:
        return _unfinished_response(call.body, call.prefill)
    return unfinished(call.body, call.prefill, style)


def unfinished(body: Body, prefill: str, style: PrefillStyle) -> Body:
    """A chat or Messages body whose last message is the assistant's unfinished one."""
    last: Body = {"role": "assistant", "content": prefill}
    if style is PrefillStyle.PREFIX:
        last["prefix"] = True
    found = {**body, "messages": [*body["messages"], last]}
    if style is PrefillStyle.CONTINUE:
        found |= {"continue_final_message": True, "add_generation_prompt": False}
    return found


def _unfinished_response(body: Body, prefill: str) -> Body:
    """A Responses body whose last item is the assistant's; vLLM goes on from one in progress."""
    said = body["input"]
    part = {"type": "output_text", "text": prefill, "annotations": []}
    last: Body = {
        "type": "message",
        "id": "msg_unfinished",
        "role": "assistant",
        "status": "in_progress",
        "content": [part],
    }
    before = [{"role": "user", "content": said}] if isinstance(said, str) else said
    return {**body, "input": [*before, last]}
