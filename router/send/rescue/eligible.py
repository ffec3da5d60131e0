"""Which requests can be continued in the middle, by what they ask for."""

from __future__ import annotations

from typing import Any

from router.wire.endpoint import Endpoint

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
    Endpoint.RESPONSES: _COMMON - {"max_tokens", "min_tokens", "stream_options"}
    | {"input", "instructions", "max_output_tokens", "tool_choice", "parallel_tool_calls"},
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
    # Of Responses; their tools answer with items of their own, so there are none.
    "tools": ([],),
    "include": ([],),
    "background": (False,),
    "text": ({"format": {"type": "text"}},),
    "truncation": ("disabled",),
}
_FREE_CHOICES = frozenset({"auto", "none"})
_BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


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
    if endpoint is Endpoint.RESPONSES and not _is_talk(body.get("input")):
        return "a stream about more than text is not continued"
    said = body.get("input" if endpoint is Endpoint.RESPONSES else "messages")
    last = said[-1] if said else None
    if isinstance(last, dict) and last.get("role") == "assistant":
        return "the client gave the beginning of the answer itself"
    return None


def _is_talk(said: Any) -> bool:
    """Whether the input of Responses is messages of text and nothing else."""
    return isinstance(said, str) or (
        isinstance(said, list) and bool(said) and all(map(_is_message, said))
    )


def _is_message(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("type", "message") != "message":
        return False
    if item.get("role") not in ("user", "assistant", "system", "developer"):
        return False
    content = item.get("content")
    return isinstance(content, str) or (
        isinstance(content, list)
        and all(
            isinstance(part, dict)
            and part.get("type") in ("input_text", "output_text")
            and isinstance(part.get("text"), str)
            for part in content
        )
    )


def rest_of(body: Body, used: int) -> Body:
    """The body for the continuation, when ``used`` tokens were sent already."""
    found = dict(body)
    for name, least in (*((bound, 1) for bound in _BOUNDS), ("min_tokens", 0)):
        limit = found.get(name)
        if isinstance(limit, int) and not isinstance(limit, bool):
            found[name] = max(least, limit - used)
    return found


def limit_of(body: Body) -> int | None:
    """The client's bound on the answer, tokens."""
    limits = [body.get(bound) for bound in _BOUNDS]
    found = [n for n in limits if isinstance(n, int) and not isinstance(n, bool)]
    return min(found) if found else None
