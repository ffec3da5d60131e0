"""vLLM's server, as the local engines run it: OpenAI's API and Anthropic's, and vLLM's own habits.

Bytes pass through as vLLM writes them, but for what it is known to say wrongly: a Responses stream
that was cut at its bound ends with ``response.completed``, and an answer that is asked to be stored
does not say that it was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from router.errors import InvalidRequest, NotKept
from router.wire.dialects.base import (
    MESSAGES_NAMES,
    Asked,
    Asking,
    Dialect,
    Traits,
    as_it_is,
    back_to_messages,
)
from router.wire.dialects.through_chat import through_chat
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS
from router.wire.formats.base import (
    LOGPROBS,
    Body,
    PrefillStyle,
    asks_for_logprobs,
    unfinished_talk,
)
from router.wire.formats.messages import unfinished_turn
from router.wire.translate.leftovers import IGNORED, ignored_by_vllm
from router.wire.translate.messages_to_chat import chat_request
from router.wire.translate.messages_to_vllm import Unlike, difference, vllm_request
from router.wire.translate.vocabulary import unsupported

_ENDPOINTS: Final = frozenset(Endpoint)
_TRANSLATED: Final = frozenset({Endpoint.MESSAGES, Endpoint.RESPONSES})
_KEPT: Final = ("previous_response_id", "conversation")
"""Fields that name what was kept of earlier requests."""
_CONTINUED: Final = frozenset(Endpoint) - {Endpoint.EMBEDDINGS}


ALTERNATIVES: Final = 5
"""Tokens told for each position of an answer that will be judged."""
_TELL_CHAT: Final[Mapping[str, Any]] = {"logprobs": True, "top_logprobs": ALTERNATIVES}
_TELL_COMPLETIONS: Final[Mapping[str, Any]] = {"logprobs": ALTERNATIVES}


_SUSPECT: Final = frozenset(chain.from_iterable(IGNORED.values()))
_MAX_KIND: Final = 64
_NOT_LOCAL: Final = "is not offered by local models"
_REFUSED: Final[Mapping[Endpoint, Mapping[str, str]]] = {
    Endpoint.CHAT: {
        "functions": "is replaced by `tools`",
        "function_call": "is replaced by `tool_choice`",
        "audio": _NOT_LOCAL,
        "web_search_options": _NOT_LOCAL,
    },
    Endpoint.MESSAGES: {
        "container": _NOT_LOCAL,
        "mcp_servers": _NOT_LOCAL,
        "inference_geo": "is not a promise that local models can give",
    },
}


class Vllm(Dialect):
    """vLLM's server."""

    name = "vllm"

    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """The engine's own address."""
        return base_url.rstrip("/") + endpoint.value

    def credentials(self, key: str) -> Mapping[str, str]:
        """A bearer token."""
        return {"Authorization": f"Bearer {key}"}

    def endpoints(self, native: frozenset[Endpoint]) -> frozenset[Endpoint]:
        """All that it has; Messages and Responses through chat where it has none."""
        if Endpoint.CHAT in native:
            return native | _TRANSLATED
        return native or _ENDPOINTS

    def can_continue(self, endpoint: Endpoint, traits: Traits) -> bool:
        """Wherever there is text to go on from."""
        del traits
        return endpoint in _CONTINUED

    def ask(self, call: Asking, traits: Traits) -> Asked:
        """The client's own body; of Messages, chat's where only that says it."""
        lacks = _lacks(traits.native, call.endpoint)
        if call.endpoint is Endpoint.RESPONSES and lacks:
            return through_chat(call, replace(traits, stream_usage=True), self.ask)
        if call.endpoint is Endpoint.MESSAGES:
            return self._messages(call, through_chat_only=lacks)
        body = call.body
        _refuse_what_is_ignored(call.endpoint, body)
        if call.endpoint is Endpoint.RESPONSES and any(body.get(name) for name in _KEPT):
            raise NotKept("local models keep none")
        if call.endpoint is Endpoint.RESPONSES and body.get("background"):
            raise unsupported("background", "is not offered by local models")
        if call.prefill:
            wire = FORMATS[call.endpoint]
            body = wire.prefilled(body, call.prefill, PrefillStyle.CONTINUE)
        if call.probe is not None:
            body = {**body, **call.probe}
        correct = _corrected if call.endpoint is Endpoint.RESPONSES else None
        warnings: tuple[str, ...] = ()
        if not _SUSPECT.isdisjoint(body):
            warnings = ignored_by_vllm(call.endpoint, call.body)
        if call.endpoint is Endpoint.RESPONSES and "tools" in body:
            warnings += _tools_of_servers(body["tools"])
        return as_it_is(call, body, correct=correct, warnings=warnings)

    def _messages(self, call: Asking, *, through_chat_only: bool) -> Asked:
        """Chat goes on from the assistant's words, tells probabilities and whose fault an error is.

        vLLM's own Messages route does none of these: it answers a last message of the assistant,
        and a stream whose schema turns out to be impossible ends there as an error of the server.
        """
        _refuse_what_is_ignored(call.endpoint, call.body)
        warnings = ignored_by_vllm(call.endpoint, call.body)
        body, begun = unfinished_turn(call.body)
        if begun != begun.rstrip():
            raise InvalidRequest(
                "The last turn of the assistant must not end in white space.", param="messages"
            )
        prefill = begun + call.prefill
        if prefill:
            chat = unfinished_talk(_chat(body), prefill, PrefillStyle.CONTINUE)
        elif call.probe is not None:
            chat = vllm_request(body)
        elif call.stream and body.get("output_config") is not None and (same := _same(body)):
            chat = same
        elif through_chat_only:
            chat = _chat(body)
        else:
            return as_it_is(call, call.body, warnings=warnings)
        tells = call.probe is not None
        return Asked(
            FORMATS[Endpoint.CHAT],
            {**chat, **(call.probe or {})},
            translation=back_to_messages(call, "base", tells=tells),
            names=MESSAGES_NAMES,
            warnings=warnings,
        )

    def unable_to_tell(self, endpoint: Endpoint, body: Body) -> str | None:
        """Why an answer cannot tell its tokens' probabilities; None: it can."""
        if endpoint is Endpoint.EMBEDDINGS:
            return "embeddings have no tokens"
        if endpoint is Endpoint.RESPONSES:
            known = isinstance(body.get("include"), list | None)
            return None if known else "its include is no list"
        if endpoint is Endpoint.MESSAGES:
            why = difference(unfinished_turn(body)[0])
            return None if why is None else f"asked through chat, vLLM would not see {why}"
        return None

    def probe(self, endpoint: Endpoint, body: Body) -> Mapping[str, Any] | None:
        """What to add to a call so that its answer tells; None: the client asked itself."""
        if endpoint is Endpoint.MESSAGES:  # which has no such wish, and is asked through chat
            return _TELL_CHAT
        if asks_for_logprobs(body):
            return None
        if endpoint is Endpoint.RESPONSES:
            included = [*(body.get("include") or []), LOGPROBS]
            return {"include": included, "top_logprobs": ALTERNATIVES}
        return _TELL_CHAT if endpoint is Endpoint.CHAT else _TELL_COMPLETIONS


def _lacks(native: frozenset[Endpoint], endpoint: Endpoint) -> bool:
    """Whether a server is known to have others only; of local engines nothing is said."""
    return bool(native) and endpoint not in native


def _tools_of_servers(tools: Any) -> tuple[str, ...]:
    """Those that are no functions: vLLM takes them, and neither calls nor offers them."""
    if not isinstance(tools, list):
        return ()
    kinds = (tool.get("type") for tool in tools if isinstance(tool, dict))
    others = (kind for kind in kinds if isinstance(kind, str) and kind != "function")
    return tuple(f"tools.{kind[:_MAX_KIND]}" for kind in dict.fromkeys(others))


def _refuse_what_is_ignored(endpoint: Endpoint, body: Body) -> None:
    """What vLLM would take without a word, and whose lack makes another answer."""
    for name, why in _REFUSED.get(endpoint, {}).items():
        if body.get(name):
            raise unsupported(name, why)
    if endpoint is Endpoint.CHAT and body.get("modalities") not in (None, ["text"]):
        raise unsupported("modalities", "must be text for local models")


def _same(body: Body) -> Body | None:
    """What vLLM would make of a Messages body; None where chat cannot say it."""
    try:
        return vllm_request(body)
    except Unlike:
        return None


def _chat(body: Body) -> Body:
    """The same; as near to it as chat can say where that differs."""
    return _same(body) or chat_request(body, max_tokens_field="max_tokens", ask_for_usage=True)


_END: Final = "response.completed"


def _corrected(found: Body) -> Body | None:
    """A response, or an event with one, as it should be: it is not stored; cut is not whole."""
    inner = found.get("response")
    if found.get("object") == "response":
        return _response(found)
    if not isinstance(inner, dict):
        return None
    kind = found.get("type")
    is_cut = kind == _END and inner.get("status") == "incomplete"
    return {
        **found,
        "type": "response.incomplete" if is_cut else kind,
        "response": _response(inner),
    }


def _response(response: Body) -> Body:
    found = {**response, "store": False}
    output = response.get("output")
    last = output[-1] if isinstance(output, list) and output else None
    if response.get("status") == "incomplete" and isinstance(last, dict) and "status" in last:
        found["output"] = [*output[:-1], {**last, "status": "incomplete"}]  # type: ignore[index]
    return found


DIALECT = Vllm()
