"""Amazon Bedrock on loopback: Converse and ConverseStream, signatures checked, faults included.

Requests have to be what AWS's own description of the service allows (botocore has it), and their
signatures are computed here anew, not by the signer that the product uses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
import zlib
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from aiohttp import web
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.frontier_answers import MESSAGES, Reply, compose
from tests.fakes.frontier_faults import (
    WANTED,
    amended,
    fail_early,
    fail_whole,
    headers_for,
    may_pass,
)

Json = dict[str, Any]
EVENTS = "application/vnd.amazon.eventstream"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([a-z0-9-]+)/bedrock/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
_SKEW_S = 300.0


class AccessKey(NamedTuple):
    """Credentials of AWS."""

    id: str
    secret: str
    token: str | None = None


class FakeBedrock(FakeFrontier):
    """The server; a context manager.

    Args:
        access_key: what requests must be signed with; None: they bring ``api_key``.
        region: that they are signed for.
    """

    paths = ("/model/{model}/converse", "/model/{model}/converse-stream")
    key_headers = ("X-Amz-Security-Token", "Authorization")
    event_type = EVENTS

    def __init__(
        self,
        *,
        access_key: AccessKey | None = None,
        region: str = "eu-west-1",
        obeys: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(obeys=obeys, **more)
        self.access_key = access_key
        self.region = region
        self.stop_reason: str | None = None
        """In place of the reply's own."""
        self.thinks = False
        """Say a thought first."""

    def streams(self, request: web.Request, _body: Json) -> bool:
        """The path says it."""
        return request.path.endswith("/converse-stream")

    def ping(self) -> bytes:
        """An event that is still to be invented."""
        return frame("aliveAndWell", b"{}")

    async def _answer(
        self, request: web.Request, body: Json, fault: Fault | None
    ) -> web.StreamResponse:
        if self.access_key is not None:
            if problem := forged(request, await request.read(), self.access_key, self.region):
                return _refused(403, "InvalidSignatureException", problem)
        elif self.api_key not in (None, request.headers.get("Authorization", "")[7:]):
            return _refused(403, "AccessDeniedException", "Bearer token is not valid")
        if fault is not None and fault.kind is Kind.STATUS:
            response = _refused(fault.status, fault.code or "Exception", fault.message)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = fault.retry_after
            return response
        report = ParamValidator().validate(
            {**body, "modelId": request.match_info["model"]}, _shape()
        )
        if report.has_errors():
            return _refused(400, "ValidationException", report.generate_report())
        if fault is not None and (early := await fail_early(request, fault)) is not None:
            return early
        text = self.text if self.says is None else self.says(body)
        reply = compose(MESSAGES, _as_messages(body), text, self.cached_tokens)
        if request[WANTED].streams:
            frames = [
                frame(kind, amended(orjson.dumps(payload), fault))
                for kind, payload in self._streamed(reply)
            ]
            return await self._frames(request, frames, fault)
        content = amended(orjson.dumps(self._whole(reply)), fault)
        if fault is None:
            return web.Response(body=content, content_type="application/json")
        return await fail_whole(request, content, fault)

    async def _frames(
        self, request: web.Request, frames: list[bytes], fault: Fault | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers_for(request, fault))
        await response.prepare(request)
        for number, event in enumerate(frames):
            if fault is not None and number >= fault.after:
                if fault.kind is Kind.ERROR_MIDWAY:
                    await response.write(exception(fault.code or "", fault.message))
                    return response
                if fault.kind is Kind.MALFORMED:
                    await response.write(event[:-5] + b"\0" + event[-4:])
                    return response
                if fault.kind is Kind.BAD_JSON:
                    await response.write(frame("contentBlockDelta", b'{"delta":}'))
                    return response
            if fault is not None and not await may_pass(
                request, response, fault, number, event, last=number == len(frames) - 1
            ):
                return response
            await response.write(event)
        await response.write_eof()
        return response

    def _reason(self, reply: Reply) -> str:
        said = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
        return self.stop_reason or said[reply.finish]

    def _whole(self, reply: Reply) -> Json:
        content: list[Json] = []
        if self.thinks:
            thought = {"text": "Hm.", "signature": "c2ln"}
            content.append({"reasoningContent": {"reasoningText": thought}})
        if reply.pieces:
            content.append({"text": reply.text})
        for call in reply.calls:
            told = {"toolUseId": call.id, "name": call.name, "input": call.arguments}
            content.append({"toolUse": told})
        return {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": self._reason(reply),
            "usage": _usage(reply),
            "metrics": {"latencyMs": 7},
        }

    def _streamed(self, reply: Reply) -> list[tuple[str, Json]]:
        events: list[tuple[str, Json]] = [("messageStart", {"role": "assistant"})]
        index = 0
        if self.thinks:
            thoughts = ({"text": "Hm."}, {"signature": "c2ln"})
            events += [_delta(index, {"reasoningContent": part}) for part in thoughts]
            events.append(("contentBlockStop", {"contentBlockIndex": index}))
            index += 1
        if reply.pieces:
            events += [_delta(index, {"text": piece}) for piece in reply.pieces]
            events.append(("contentBlockStop", {"contentBlockIndex": index}))
            index += 1
        for call in reply.calls:
            start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
            events.append(("contentBlockStart", {"start": start, "contentBlockIndex": index}))
            if call.arguments:
                said = orjson.dumps(call.arguments).decode()
                events += [_delta(index, {"toolUse": {"input": p}}) for p in (said[:4], said[4:])]
            events.append(("contentBlockStop", {"contentBlockIndex": index}))
            index += 1
        events.append(("messageStop", {"stopReason": self._reason(reply)}))
        told = {"usage": _usage(reply), "metrics": {"latencyMs": 7}, "p": "abcdefgh"}
        return [*events, ("metadata", told)]


def frame(kind: str, payload: bytes) -> bytes:
    """One event as AWS frames it."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return framed(headers, payload)


def exception(kind: str, message: str) -> bytes:
    """An exception in a stream."""
    headers = {":exception-type": kind, ":message-type": "exception"}
    return framed(headers, orjson.dumps({"message": message}))


def framed(headers: dict[str, str], payload: bytes) -> bytes:
    """Headers that are texts, and a payload."""
    head = b""
    for name, said in headers.items():
        value = said.encode()
        head += struct.pack(">B", len(name)) + name.encode()
        head += struct.pack(">BH", 7, len(value)) + value
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    rest = prelude + head + payload
    return rest + struct.pack(">I", zlib.crc32(rest))


def forged(request: web.Request, raw: bytes, key: AccessKey, region: str) -> str | None:
    """What is wrong with a signature; None: nothing.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if found is None:
        return "there is no signature"
    who, day, where, names, signature = found.groups()
    when = request.headers["X-Amz-Date"]
    then = datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs((datetime.now(UTC) - then).total_seconds()) > _SKEW_S or not when.startswith(day):
        return "it is too old"
    signed = names.split(";")
    if who != key.id or where != region or not {"host", "x-amz-date"} <= set(signed):
        return "it is somebody else's, or for another place"
    if key.token is not None and "x-amz-security-token" not in signed:
        return "its token is not signed"
    if request.headers.get("X-Amz-Security-Token") != key.token:
        return "it has another token"
    canonical = [
        "POST",
        quote(request.raw_path, safe="/-_.~"),
        "",
        *(f"{name}:{' '.join(request.headers[name].split())}" for name in signed),
        "",
        names,
        hashlib.sha256(raw).hexdigest(),
    ]
    scope = f"{day}/{region}/bedrock/aws4_request"
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    secret = ("AWS4" + key.secret).encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{digest}"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    return None if hmac.compare_digest(secret.hex(), signature) else "it does not match"


@cache
def _shape() -> Shape:
    model = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
    found: Shape = model.operation_model("Converse").input_shape
    return found


def _refused(status: int, kind: str, message: str) -> web.Response:
    headers = {"x-amzn-ErrorType": kind}
    return web.json_response({"message": message}, status=status, headers=headers)


def _delta(index: int, delta: Json) -> tuple[str, Json]:
    return "contentBlockDelta", {"delta": delta, "contentBlockIndex": index, "p": "ab"}


def _usage(reply: Reply) -> Json:
    return {
        "inputTokens": reply.prompt_tokens - reply.cached_tokens,
        "outputTokens": reply.output_tokens,
        "totalTokens": reply.prompt_tokens + reply.output_tokens,
        "cacheReadInputTokens": reply.cached_tokens,
        "cacheWriteInputTokens": 0,
    }


def _as_messages(body: Json) -> Json:
    """What ``compose`` has to know of a request."""
    config = body.get("toolConfig", {})
    specs = [each["toolSpec"] for each in config.get("tools", ()) if "toolSpec" in each]
    return {
        "messages": [
            {**turn, "content": [_as_block(block) for block in turn["content"]]}
            for turn in body["messages"]
        ],
        "max_tokens": body.get("inferenceConfig", {}).get("maxTokens"),
        "tools": [{"name": s["name"], "input_schema": s["inputSchema"]["json"]} for s in specs],
    }


def _as_block(block: Json) -> Json:
    return {"type": "tool_result"} if "toolResult" in block else {"text": block.get("text", "")}
