"""Fields of requests that mean the same for the rest of an answer as for the whole of it."""

from __future__ import annotations

# Only what is known to mean the same for the rest of an answer as for the whole of it. A field that
# nobody here knows may change the answer's form: then the stream ends with an error instead.
COMMON = frozenset(
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
