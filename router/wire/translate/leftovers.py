"""What of a request another API has no words for: named, so that nothing is dropped in silence.

A shape says which fields are understood there, as deep as that matters. Whatever else a request
has, fields of tomorrow included, is left out and named by its path without the places in lists
(``messages.content.image_url.detail``). A field whose value is what happens anyway is not named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from router.wire.endpoint import Endpoint

Body = dict[str, Any]
Shape = Mapping[str, Any]
"""Field to what is understood in it: ``ALL`` of it, an inner shape, or only values that say nothing
(a tuple)."""
ALL: Final = None
_HINT: Final = ALL
"""Only about what a provider keeps between calls; targets without it answer alike."""


def left_out(body: Body, shape: Shape) -> tuple[str, ...]:
    """The fields that a target with this shape does not get, each once."""
    return tuple(dict.fromkeys(_unsaid(body, shape, "")))


def _unsaid(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _unsaid(each, shape, path)
        return
    if not isinstance(value, dict):
        return
    for name, each in value.items():
        where = f"{path}.{name}" if path else name
        known = shape.get(name, ())
        if known is ALL or each is None:
            continue
        if isinstance(known, tuple):
            # `True == 1`: only what is of the same type is the same.
            if not any(type(each) is type(same) and each == same for same in known):
                yield where
        else:
            yield from _unsaid(each, known, where)


def _fields(names: str, **more: Any) -> Shape:
    return {**dict.fromkeys(names.split()), **more}


# Chat, said in Messages. What the translation refuses counts as understood: it is no silence.

_CACHED: Final = {"cache_control": _HINT}
_REFUSED_FOR_MESSAGES: Final = _fields(
    "n functions function_call logprobs top_logprobs audio web_search_options modalities"
)
_CHAT_PART: Final = _fields(
    "type text refusal cache_control",
    image_url=_fields("url", detail=("auto",)),
    file=_fields("file_data file_id filename"),
    input_audio=ALL,
)
CHAT_TO_MESSAGES: Final = {
    **_REFUSED_FOR_MESSAGES,
    **_fields(
        "model stream top_p top_k thinking max_completion_tokens max_tokens temperature stop "
        "tool_choice parallel_tool_calls user safety_identifier stream_options "
        "prompt_cache_key prompt_cache_retention prompt_cache_options"
    ),
    "messages": _fields(
        "role tool_call_id refusal function_call",
        content=_CHAT_PART,
        tool_calls=_fields("id type function index"),
    ),
    "tools": _fields(
        "type cache_control custom", function=_fields("name description parameters strict")
    ),
    "response_format": _fields("type", json_schema=_fields("name schema strict")),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logit_bias": ({},),
    "store": (False,),
    "service_tier": ("auto", "default", "standard_only"),
    "verbosity": ("medium",),
}

# Messages, said in chat.

_SOURCE: Final = _fields("type media_type data url file_id content")
_BLOCK: Final[dict[str, Any]] = {
    **_fields("type text id name input tool_use_id is_error title context tool_name"),
    **_CACHED,
    "source": _SOURCE,
    "caller": ({"type": "direct"},),
    "citations": ({"enabled": False},),
}
_RESULT_PART: Final = {**_BLOCK}
_BLOCK["content"] = _RESULT_PART
_TOOL: Final = {
    **_fields("type name description input_schema strict cache_control"),
    "defer_loading": (False,),
    "eager_input_streaming": (False,),
    "allowed_callers": (["direct"],),
}
MESSAGES_TO_CHAT: Final = {
    **_fields(
        "model stream temperature top_p max_tokens stop_sequences cache_control metadata "
        "container mcp_servers inference_geo"
    ),
    "system": {**_fields("type text"), **_CACHED},
    "messages": _fields("role", content=_BLOCK),
    "tools": _TOOL,
    "tool_choice": _fields("type name disable_parallel_tool_use"),
    "output_config": _fields("format"),
    "thinking": ({"type": "disabled"},),
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard",),
}

# Responses, said in chat. Items, included things and tools of servers are named by their kind.

_ITEM_PART: Final = {
    **_fields(
        "type text refusal image_url file_data filename file_id file_url input_audio annotations "
        "logprobs detail prompt_cache_breakpoint"
    ),
}
RESPONSES_TO_CHAT: Final = {
    **_fields(
        "model stream temperature top_p service_tier max_output_tokens instructions tool_choice "
        "seed stop presence_penalty frequency_penalty logit_bias include top_logprobs "
        "parallel_tool_calls user safety_identifier metadata truncation background prompt "
        "previous_response_id conversation "
        "prompt_cache_key prompt_cache_retention prompt_cache_options"
    ),
    "input": _fields(
        "type role id status phase call_id name arguments input encrypted_content summary",
        content=_ITEM_PART,
        output=_ITEM_PART,
        caller=({"type": "direct"},),
    ),
    "tools": {
        **_fields("type name description parameters strict"),
        "defer_loading": (False,),
        "allowed_callers": (["direct"],),
        "async": (False,),
        "format": ({"type": "text"},),
    },
    "text": _fields("format verbosity"),
    "reasoning": _fields("effort"),
    "stream_options": {"include_obfuscation": (False,)},
    "store": (False,),
}

# Messages, said in Bedrock's Converse. Its own fields go as they are.

MESSAGES_TO_CONVERSE: Final = {
    **_fields(
        "model stream temperature top_p top_k thinking max_tokens stop_sequences cache_control "
        "metadata additionalModelRequestFields guardrailConfig performanceConfig"
    ),
    "system": {**_fields("type text"), **_CACHED},
    "messages": _fields(
        "role",
        content={
            **_BLOCK,
            **_fields("thinking signature data"),
            "content": {**_RESULT_PART, **_fields("context")},
        },
    ),
    "tools": _TOOL,
    "tool_choice": {**_fields("type name"), "disable_parallel_tool_use": (False,)},
    "output_config": _fields("format effort"),
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard",),
}

# Chat, said in Gemini's API. Its own fields go as they are.

CHAT_TO_GEMINI: Final = {
    **_fields(
        "model stream stream_options max_completion_tokens max_tokens temperature top_p top_k n "
        "seed stop presence_penalty frequency_penalty logprobs top_logprobs tool_choice "
        "reasoning_effort functions function_call audio web_search_options modalities user "
        "safety_identifier prompt_cache_key prompt_cache_retention prompt_cache_options "
        "safetySettings thinkingConfig mediaResolution labels"
    ),
    "messages": _fields(
        "role tool_call_id refusal function_call extra_content",
        content=_CHAT_PART,
        tool_calls=_fields("id type function index extra_content"),
    ),
    "tools": _fields(
        "type cache_control",
        function={**_fields("name description parameters"), "strict": (False,)},
    ),
    "response_format": _fields("type", json_schema=_fields("name schema strict description")),
    "parallel_tool_calls": (True,),
    "logit_bias": ({},),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
}

# What vLLM takes and then does not look at: fields that it does not know are ignored everywhere.

IGNORED: Final[Mapping[Endpoint, Shape]] = {
    Endpoint.CHAT: {
        "moderation": (),
        "prediction": (),
        "service_tier": ("auto", "default"),
        "store": (False,),
        "verbosity": ("medium",),
    },
    Endpoint.COMPLETIONS: {"best_of": (1,)},
    Endpoint.RESPONSES: {
        "access_programs": (),
        "background_options": (),
        "context_management": (),
        "image": (),
        "max_tool_calls": (),
        "moderation": (),
        "service_tier": ("auto", "default"),
        "store": (False,),
    },
    Endpoint.EMBEDDINGS: {},
}
VLLM_MESSAGES: Final = {
    **MESSAGES_TO_CHAT,
    **_fields(
        "cache_salt chat_template_kwargs ec_transfer_params kv_transfer_params mm_payload "
        "return_mm_kwargs vllm_xargs watermarking thinking top_k"
    ),
    "messages": _fields(
        "role",
        content={**_BLOCK, **_fields("thinking signature"), "is_error": (False,)},
    ),
    "tools": {**_TOOL, **_fields("defer_loading")},
    "output_config": _fields("format effort"),
    "service_tier": ("auto",),
}


def ignored_by_vllm(endpoint: Endpoint, body: Body) -> tuple[str, ...]:
    """The fields of a request that vLLM takes without a word and does nothing with."""
    if endpoint is Endpoint.MESSAGES:
        return left_out(body, VLLM_MESSAGES)
    named = IGNORED[endpoint]
    return left_out({name: body[name] for name in named if name in body}, named)
