"""Gemini on loopback, as Google offers it and as Vertex AI does: keys checked, faults included.

Requests have to be what Google's reference allows (https://ai.google.dev/api/generate-content):
unknown fields are refused, and so are results without their calls and, by models from Gemini 3 on,
calls without their signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import orjson
from aiohttp import web

from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.frontier_answers import CHAT, Reply, ToolCall, compose, prompt_of, whole
from tests.fakes.frontier_faults import (
    WANTED,
    amended,
    fail_early,
    fail_whole,
    headers_for,
    may_pass,
)
from tests.fakes.frontier_streams import streamed

Json = dict[str, Any]
SIGNATURE: Final = "c2lnbmVkLWJ5LWdlbWluaQ=="
"""What the first call of each answer is signed with."""
SKIPPED: Final = "skip_thought_signature_validator"
_ALL: Final = None
_PART: Final[Json] = {
    "text": _ALL,
    "thought": _ALL,
    "thoughtSignature": _ALL,
    "inlineData": {"mimeType": _ALL, "data": _ALL},
    "fileData": {"mimeType": _ALL, "fileUri": _ALL},
    "functionCall": {"id": _ALL, "name": _ALL, "args": _ALL},
    "functionResponse": {"id": _ALL, "name": _ALL, "response": _ALL},
}
_CONTENT: Final[Json] = {"role": _ALL, "parts": _PART}
_OF_GENERATION: Final = frozenset(
    {
        "stopSequences", "responseMimeType", "responseJsonSchema", "candidateCount",
        "maxOutputTokens", "temperature", "topP", "topK", "seed", "presencePenalty",
        "frequencyPenalty", "responseLogprobs", "logprobs", "mediaResolution",
    }
)  # fmt: skip
_REQUEST: Final[Json] = {
    "contents": _CONTENT,
    "systemInstruction": _CONTENT,
    "tools": {
        "functionDeclarations": {"name": _ALL, "description": _ALL, "parametersJsonSchema": _ALL}
    },
    "toolConfig": {"functionCallingConfig": {"mode": _ALL, "allowedFunctionNames": _ALL}},
    "safetySettings": {"category": _ALL, "threshold": _ALL},
    "labels": _ALL,
    "generationConfig": {
        **dict.fromkeys(_OF_GENERATION),
        "thinkingConfig": {"includeThoughts": _ALL, "thinkingBudget": _ALL, "thinkingLevel": _ALL},
    },
}
_STATUSES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class FakeGemini(FakeFrontier):
    """The server; a context manager. Vertex AI's paths are below a project, or not."""

    paths = (
        "/v1beta/models/{call}",
        "/v1/projects/{project}/locations/{region}/publishers/{publisher}/models/{call}",
        "/v1/publishers/{publisher}/models/{call}",
    )
    key_headers: ClassVar[tuple[str, ...]] = ("x-goog-api-key", "Authorization")
    event_type: ClassVar[str] = "text/event-stream"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.finish_reason: str | None = None
        """In place of the reply's own."""
        self.blocks: str | None = None
        """Why it does not read the prompt."""
        self.thinks = False
        """Say a thought first."""
        self.tokens: set[str] | None = None
        """Access tokens that are taken, in place of a key."""
        self.counts = "always"
        """When tokens are counted: ``always``, ``early`` (not at a stream's end), or ``never``."""

    @property
    def vertex_url(self) -> str:
        """The base URL of a project in a region of Vertex AI."""
        return f"{self.url}/v1/projects/acme/locations/europe-west4"

    def streams(self, request: web.Request, _body: Json) -> bool:
        """The path says it."""
        return request.path.endswith(":streamGenerateContent")

    def prompt(self, body: Json) -> str:
        """The last words of the user."""
        return prompt_of(_as_chat(body))

    async def _answer(
        self, request: web.Request, body: Json, fault: Fault | None
    ) -> web.StreamResponse:
        model = request.match_info["call"].rpartition(":")[0]
        if fault is not None and fault.kind is Kind.STATUS:
            return _faulty(fault.status, fault)
        if fault is not None and fault.kind is Kind.ERROR_IN_200:
            return _faulty(200, fault)
        refusal = self._refused(request, body, model)
        if refusal is not None:
            return refusal
        if fault is not None and (early := await fail_early(request, fault)) is not None:
            return early
        text = self.text if self.says is None else self.says(body)
        reply = compose(CHAT, {**_as_chat(body), "model": model}, text, self.cached_tokens)
        if request[WANTED].streams:
            found = (amended(orjson.dumps(each), fault) for each in self._events(body, reply))
            return await self._stream(request, [_event(each) for each in found], fault)
        content = amended(orjson.dumps(self._whole(body, reply)), fault)
        if fault is None:
            return web.Response(body=content, content_type="application/json")
        if fault.kind is Kind.ERROR_MIDWAY:
            return _faulty(200, fault)
        return await fail_whole(request, content, fault)

    def _refused(self, request: web.Request, body: Json, model: str) -> web.Response | None:
        if self.tokens is not None and self.key_of(request) not in self.tokens:
            return error(401, "Request had invalid authentication credentials.")
        if self.tokens is None and self.api_key not in (None, self.key_of(request)):
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": _WRONG_KEY}
            return error(400, "API key not valid. Please pass a valid API key.", details=[info])
        if self.models and model not in self.models:
            return error(404, f"models/{model} is not found for API version v1beta.")
        if self.streams(request, body) and request.query.get("alt") != "sse":
            return error(400, "a list was asked for, which nobody reads here")
        problem = next(_problems(body, _REQUEST, ""), None) or _out_of_order(body, model)
        return None if problem is None else error(400, problem)

    async def _stream(
        self, request: web.Request, events: list[bytes], fault: Fault | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers_for(request, fault))
        await response.prepare(request)
        for number, each in enumerate(events):
            if fault is not None and number >= fault.after and fault.kind is Kind.ERROR_MIDWAY:
                told = _error_object(503, fault.message, _STATUSES[503], None)
                await response.write(_event(orjson.dumps(told)))
                return response
            if fault is not None and not await may_pass(
                request, response, fault, number, each, last=number == len(events) - 1
            ):
                return response
            await response.write(each)
        await response.write_eof()
        return response

    def _whole(self, body: Json, reply: Reply) -> Json:
        if self.blocks is not None:
            return {"promptFeedback": {"blockReason": self.blocks}, **_head(reply)}
        said = [part for parts in self._parts(reply) for part in parts]
        told = {**self._end(reply), **_logprobs(body, reply.pieces)}
        candidates = [_candidate(n, said, **told) for n in range(_count(body))]
        return {"candidates": candidates, **_head(reply), **self._usage(reply)}

    def _events(self, body: Json, reply: Reply) -> Iterator[Json]:
        if self.blocks is not None:
            yield {"promptFeedback": {"blockReason": self.blocks}, **_head(reply)}
            return
        usage = self._usage(reply)
        for parts in self._parts(reply):
            told = _logprobs(body, [part["text"] for part in parts if "text" in part])
            for number in range(_count(body)):
                candidates = [_candidate(number, parts, **told)]
                yield {"candidates": candidates, **_head(reply), **usage}
        ends = [_candidate(n, [], **self._end(reply)) for n in range(_count(body))]
        yield {"candidates": ends, **_head(reply), **({} if self.counts == "early" else usage)}

    def _parts(self, reply: Reply) -> Iterator[list[Json]]:
        """What each event says."""
        if self.thinks:
            yield [{"text": "Hm.", "thought": True}]
        for piece in reply.pieces:
            yield [{"text": piece}]
        if reply.calls:
            calls = [{"functionCall": _call(call)} for call in reply.calls]
            yield [{**calls[0], "thoughtSignature": SIGNATURE}, *calls[1:]]

    def _end(self, reply: Reply) -> Json:
        """Why it ends; an empty reason of the test's is none."""
        reason = "MAX_TOKENS" if reply.finish == "length" else "STOP"
        if self.finish_reason is not None:
            reason = self.finish_reason
        return {"finishReason": reason} if reason else {}

    def _usage(self, reply: Reply) -> Json:
        """Thoughts are counted apart."""
        if self.counts == "never":
            return {}
        thoughts = {"thoughtsTokenCount": 5} if self.thinks else {}
        cached = reply.cached_tokens
        counts = {
            "promptTokenCount": reply.prompt_tokens,
            "candidatesTokenCount": reply.output_tokens,
            "totalTokenCount": reply.prompt_tokens + reply.output_tokens + len(thoughts) * 5,
            **({"cachedContentTokenCount": cached} if cached else {}),
            **thoughts,
        }
        return {"usageMetadata": counts}


class FakeCompatible(FakeFrontier):
    """Google's OpenAI-compatible API; its errors come in lists, below which Google's own lie."""

    paths = ("/v1beta/openai/chat/completions",)

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.errors: list[tuple[int, str, list[Json]]] = []
        """What the next requests are refused with: status, message, details."""

    @property
    def compatible_url(self) -> str:
        """The base URL."""
        return f"{self.url}/v1beta/openai"

    async def _answer(
        self, request: web.Request, body: Json, fault: Fault | None
    ) -> web.StreamResponse:
        if self.errors:
            status, message, details = self.errors.pop(0)
            code = _STATUSES.get(status, "INTERNAL")
            return web.json_response([_error_object(status, message, code, details)], status=status)
        reply = compose(CHAT, body, self.text, self.cached_tokens)
        if body.get("stream"):
            events = [_signed_event(event) for event in streamed(CHAT, body, reply)]
            return await self._stream(request, events, fault)
        found = whole(CHAT, body, reply)
        for choice in found["choices"]:
            _sign(choice["message"])
        return web.json_response(found)


def _signed_event(event: bytes) -> bytes:
    found = None if b"[DONE]" in event else orjson.loads(event.removeprefix(b"data: "))
    for choice in found["choices"] if found else ():
        _sign(choice["delta"])
    return event if found is None else b"data: " + orjson.dumps(found) + b"\n\n"


def _sign(message: Json) -> None:
    for call in message.get("tool_calls", ())[:1]:
        if "id" in call and call.get("index", 0) == 0:
            call["extra_content"] = {"google": {"thought_signature": SIGNATURE}}


_WRONG_KEY: Final = "API_KEY_INVALID"


def error(
    status: int, message: str, *, code: str | None = None, details: list[Json] | None = None
) -> web.Response:
    """As Google's APIs say it."""
    found = _error_object(status, message, code or _STATUSES.get(status, "INTERNAL"), details)
    return web.json_response(found, status=status)


def _error_object(status: int, message: str, code: str, details: list[Json] | None) -> Json:
    found: Json = {"code": status, "message": message, "status": code}
    return {"error": {**found, "details": details} if details else found}


def _faulty(status: int, fault: Fault) -> web.Response:
    """A code that begins with ``reason:`` is the reason of its details; any other its status."""
    code = fault.code or ""
    if code.startswith("reason:"):
        info = "type.googleapis.com/google.rpc.ErrorInfo"
        details = [{"@type": info, "reason": code.removeprefix("reason:")}]
        response = error(status, fault.message, details=details)
    else:
        response = error(status, fault.message, code=fault.code)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = fault.retry_after
    return response


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\r\n\r\n"


def _head(reply: Reply) -> Json:
    return {"modelVersion": reply.model, "responseId": "fake"}


def _candidate(number: int, parts: list[Json], **more: Any) -> Json:
    """The first one's number is left out, as is everything that is 0."""
    content = {"role": "model", **({"parts": parts} if parts else {})}
    return {"content": content, **({"index": number} if number else {}), **more}


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "name": call.name, "args": call.arguments}


def _count(body: Json) -> int:
    found = body.get("generationConfig", {}).get("candidateCount", 1)
    assert isinstance(found, int)
    return found


def _logprobs(body: Json, pieces: list[str]) -> Json:
    config = body.get("generationConfig", {})
    if not config.get("responseLogprobs") or not pieces:
        return {}
    chosen = [{"token": piece, "tokenId": 1, "logProbability": -0.5} for piece in pieces]
    others = [{"token": "or", "logProbability": -1.5}][: config.get("logprobs", 0)]
    top = [{"candidates": [each, *others]} for each in chosen]
    result = {"chosenCandidates": chosen, **({"topCandidates": top} if others else {})}
    return {"logprobsResult": result}


def _problems(value: Any, shape: Json, path: str) -> Iterator[str]:
    """What the request has that the API does not know."""
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            yield f"Invalid value at '{path}'"
            continue
        for name, inner in each.items():
            where = f"{path}.{name}" if path else name
            if name not in shape:
                yield f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}'"
            elif shape[name] is not _ALL:
                yield from _problems(inner, shape[name], where)


def _out_of_order(body: Json, model: str) -> str | None:
    """What is wrong with the turns."""
    contents = body.get("contents")
    if not contents:
        return "contents is not specified"
    calls: list[Json] = []
    for number, turn in enumerate(contents):
        if turn.get("role") not in ("user", "model") or not turn.get("parts"):
            return f"contents[{number}]: valid role and parts are required"
        found = [p["functionResponse"] for p in turn["parts"] if "functionResponse" in p]
        if calls and len(found) != len(calls):
            return "the number of function response parts must equal that of function call parts"
        if found and [each["name"] for each in found] != [each["name"] for each in calls]:
            return "function responses must be those of the calls before"
        signed = [part for part in turn["parts"] if "functionCall" in part]
        calls = [part["functionCall"] for part in signed]
        is_strict = re.match(r"gemini-[3-9]", model) is not None
        if signed and is_strict and signed[0].get("thoughtSignature") not in (SIGNATURE, SKIPPED):
            return f"Function call in the {number}. content block is missing a thought_signature"
    return None


def _as_chat(body: Json) -> Json:
    """What ``compose`` has to know of a request."""
    declared = [d for tool in body.get("tools", ()) for d in tool["functionDeclarations"]]
    mode = body.get("toolConfig", {}).get("functionCallingConfig", {})
    allowed = mode.get("allowedFunctionNames")
    return {
        "messages": [_message(turn) for turn in body["contents"]],
        "max_tokens": body.get("generationConfig", {}).get("maxOutputTokens"),
        "tool_choice": "none" if mode.get("mode") == "NONE" else None,
        "tools": [
            {"name": each["name"], "parameters": each.get("parametersJsonSchema")}
            for each in declared
            if allowed is None or each["name"] in allowed
        ],
    }


def _message(turn: Json) -> Json:
    if any("functionResponse" in part for part in turn["parts"]):
        return {"role": "tool", "content": ""}
    role = "assistant" if turn["role"] == "model" else "user"
    return {"role": role, "content": [{"text": part.get("text", "")} for part in turn["parts"]]}
