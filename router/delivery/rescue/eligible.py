"""Which requests can be continued in the middle, by what they ask for."""

from __future__ import annotations

from typing import Any

from router.targets.base import Endpoint

Body = dict[str, Any]

# Only what is known to mean the same for the rest of an answer as for the whole of it. A field that
# nobody here knows may change the answer's form: then the stream ends with an error instead.
_COMMON = frozenset(
    {
        "cache_salt",
        "frequency_penalty",
        "ignore_eos",
        "include_stop_str_in_output",
        "length_penalty",
        "logit_bias",
        "max_tokens",
        "metadata",
        "min_p",
        "min_tokens",
        "model",
        "presence_penalty",
        "priority",
        "prompt_cache_key",
        "repetition_penalty",
        "request_id",
        "safety_identifier",
        "seed",
        "service_tier",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop",
        "stop_token_ids",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "top_k",
        "top_p",
        "user",
        "vllm_xargs",
    }
)
_KNOWN = {
    Endpoint.CHAT: _COMMON
    | {
        "messages",
        "max_completion_tokens",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "verbosity",
        "chat_template_kwargs",
    },
    Endpoint.COMPLETIONS: _COMMON | {"prompt"},
    Endpoint.MESSAGES: _COMMON
    | {"messages", "system", "stop_sequences", "tools", "tool_choice", "anthropic_version"},
}
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "thinking": ({"type": "disabled"},),
}
_FREE_CHOICES = frozenset({"auto", "none"})


def obstacle(endpoint: Endpoint, body: Body) -> str | None:
    """Why a stream for this request cannot be continued; None: it can."""
    known = _KNOWN.get(endpoint)
    if known is None:
        return f"streams of {endpoint} are not continued"
    for name, value in body.items():
        if value is None or name in known or value in _HARMLESS.get(name, ()):
            continue
        return f"a stream with {name!r} is not continued"
    choice = body.get("tool_choice") or "auto"
    if (choice.get("type") if isinstance(choice, dict) else choice) not in _FREE_CHOICES:
        return "a stream that must call a tool is not continued"
    if endpoint is Endpoint.COMPLETIONS:
        return None if isinstance(body.get("prompt"), str) else "several prompts are not continued"
    last = body["messages"][-1] if body.get("messages") else None
    if isinstance(last, dict) and last.get("role") == "assistant":
        return "the client gave the beginning of the answer itself"
    return None


def rest_of(body: Body, used: int) -> Body:
    """The body for the continuation, when ``used`` tokens were sent already."""
    found = dict(body)
    for name, least in (("max_tokens", 1), ("max_completion_tokens", 1), ("min_tokens", 0)):
        limit = found.get(name)
        if isinstance(limit, int) and not isinstance(limit, bool):
            found[name] = max(least, limit - used)
    return found


def limit_of(body: Body) -> int | None:
    """The client's bound on the answer, tokens."""
    limits = [body.get("max_completion_tokens"), body.get("max_tokens")]
    found = [n for n in limits if isinstance(n, int) and not isinstance(n, bool)]
    return min(found) if found else None
