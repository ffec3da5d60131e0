"""The words of the protocols that the visitor of texts knows apart from texts (``texts``)."""

from __future__ import annotations

from typing import Final

from router.wire.kinds import Kind


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


PROTOCOL: Final = _set(
    """
    cache_salt call_id container conversation conversation_id detail effort encoding_format
    encrypted_content file_id finish_reason format id item_id language media_type mime_type model
    object obfuscation phase previous_response_id prompt_cache_retention
    reasoning_effort request_id response_id role service_tier server_label signature status
    stop_reason system_fingerprint syntax thought_signature tool_call_id tool_use_id truncation ttl
    type verbosity voice
    """
)
"""Fields whose strings are words of the protocol, never somebody's, at whatever depth."""
MACHINERY: Final = _set(
    """
    cache_control include modalities parallel_tool_calls stream_options tool_choice logit_bias usage
    bytes embedding prompt_token_ids token_ids kv_transfer_params
    """
)
"""Fields that hold nothing but the protocol, however they are built."""
READ: Final = _set(
    """
    messages prompt input system instructions tools functions suffix response_format text
    output_config choices content output response delta item part content_block message error
    refusal reasoning reasoning_content
    """
)
"""Fields at the top whose texts a model reads or wrote; of others they are ``OTHER``."""
DEFINITIONS: Final = frozenset({"tools", "functions", "response_format", "output_config"})
URLS: Final = frozenset({"url", "file_url", "image_url", "server_url", "audio_url", "video_url"})
MEDIA: Final = frozenset({"file_data", "b64_json", "data", "input_audio", "image_base64"})
TOKENS: Final = frozenset({"logprobs", "top_logprobs", "prompt_logprobs"})
WORDS_OF_LOGPROBS: Final = _set(
    """
    bytes content decoded_token logprob rank refusal text_offset token token_logprobs tokens
    top_logprobs
    """
)
IMAGES: Final = frozenset({"image", "image_url", "input_image"})
KINDS: Final = {
    "thinking": Kind.REASONING,
    "redacted_thinking": Kind.REASONING,
    "thinking_delta": Kind.REASONING,
    "reasoning": Kind.REASONING,
    "reasoning_text": Kind.REASONING,
    "summary_text": Kind.REASONING,
    "response.reasoning_text.delta": Kind.REASONING,
    "response.reasoning_text.done": Kind.REASONING,
    "response.reasoning_summary_text.delta": Kind.REASONING,
    "response.reasoning_summary_text.done": Kind.REASONING,
    "refusal": Kind.REFUSAL,
    "response.refusal.delta": Kind.REFUSAL,
    "response.refusal.done": Kind.REFUSAL,
    "response.function_call_arguments.delta": Kind.ARGUMENTS,
    "response.custom_tool_call_input.delta": Kind.ARGUMENTS,
    "input_json_delta": Kind.ARGUMENTS,
}
"""What the ``type`` of an object says about the texts in it."""
KIND_OF_FIELD: Final = {
    "reasoning": Kind.REASONING,
    "reasoning_content": Kind.REASONING,
    "refusal": Kind.REFUSAL,
    "filename": Kind.FILE_NAME,
    "file_name": Kind.FILE_NAME,
    "title": Kind.FILE_NAME,
    "name": Kind.NAME,
    "user": Kind.IDENTITY,
    "safety_identifier": Kind.IDENTITY,
    "user_id": Kind.IDENTITY,
    "prompt_cache_key": Kind.IDENTITY,
}
ROLES: Final = {"system": "system", "instructions": "system", "developer": "developer"}
CALLS: Final = frozenset(
    {"tool_use", "function_call", "custom_tool_call", "server_tool_use", "mcp_call", "function"}
)
RESULTS: Final = frozenset({"tool_result", "function_call_output", "custom_tool_call_output"})
DATA_OF_A_CALL: Final = frozenset({"arguments", "input"})
SCHEMA_WORDS: Final = PROTOCOL | _set(
    """
    name pattern required $ref $id $schema $anchor $dynamicRef $dynamicAnchor contentEncoding
    contentMediaType strict
    """
)
NAMED_SCHEMAS: Final = frozenset(
    {"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"}
)
JSON_BEGINS: Final = ("{", "[", '"')
