"""What Gemini's ``generateContent`` and ``streamGenerateContent`` answer, as the bytes of chat."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from router.wire.events import DONE, Splitter, encode
from router.wire.translate.signatures import signed
from router.wire.upstream_error import word

Json = dict[str, Any]
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""The longest whole answer that is translated."""
_SHAPE: Final = "The answer does not have the shape of its API."
_TOO_LARGE: Final = "The answer is too large to be translated."
_SLIPS: Final = (ValueError, LookupError, TypeError, AttributeError)
_BLOCKED: Final = (
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
)  # fmt: skip
_FINISH: Final[Mapping[str, str]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(_BLOCKED, "content_filter"),
}
"""All other reasons say that something went wrong, so that the answer is not whole."""
_CODES: Final[Mapping[str, str]] = {
    "RESOURCE_EXHAUSTED": "rate_limit_exceeded",
    "INVALID_ARGUMENT": "invalid_request_error",
    "DEADLINE_EXCEEDED": "timeout",
    "UNAVAILABLE": "overloaded_error",
}
_SAID: Final = frozenset(
    {"text", "thought", "thoughtSignature", "functionCall", "partMetadata", "videoMetadata"}
)
_BESIDE: Final = ("citationMetadata", "groundingMetadata", "urlContextMetadata")
Warn = Callable[[str], None]


class WholeAnswer:
    """Turns one body of JSON into another, when it is here.

    Args:
        model: that was asked, where the answer does not say.
        answers: how many were asked for.
        warn: told what of the answer chat has no place for, by its name in chat's message.
    """

    def __init__(self, model: str, answers: int, warn: Warn) -> None:
        self._head = _Head(model, "chat.completion")
        self._answers = answers
        self._warn = warn
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """All of it with the last byte, nothing before."""
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self._parts.clear()
            return orjson.dumps(_failed(_TOO_LARGE)) if last else b""
        self._parts.append(data)
        if not last:
            return b""
        raw = b"".join(self._parts)
        try:
            found = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return raw  # whoever reads it says that it is no JSON
        try:
            return orjson.dumps(self._translated(found))
        except _Malformed as error:
            return orjson.dumps(_failed(str(error)))
        except _SLIPS:
            return orjson.dumps(_failed(_SHAPE))

    def _translated(self, found: Any) -> Json:
        if isinstance(found, list) and len(found) == 1:  # as errors of streams may come
            found = found[0]
        if "error" in found:
            return _error(found["error"])
        choices: list[Json] = []
        candidates = _candidates(found, self._answers)
        if not candidates:
            raise ValueError("nobody answers")
        for each in candidates:
            candidate = _Candidate(self._warn)
            message = candidate.say(each)
            if candidate.finish is None:
                raise ValueError("it does not say why it ended")
            calls = [
                {name: value for name, value in call.items() if name != "index"}
                for call in message.pop("tool_calls", ())
            ]
            text = message.pop("content", None if calls else "")
            message = {"role": "assistant", "content": text, "refusal": None, **message}
            choices.append(
                {
                    "index": each.get("index", 0),
                    "message": message | ({"tool_calls": calls} if calls else {}),
                    "logprobs": _logprobs(each),
                    "finish_reason": candidate.finish,
                }
            )
        if not choices:
            raise ValueError("it has no answer")
        usage = _usage(found.get("usageMetadata"))
        return {**self._head.of(found), "choices": choices, **({"usage": usage} if usage else {})}


class StreamedAnswer:
    """Turns the events of one API into those of the other, as they come.

    Gemini marks no end: the stream is complete when each candidate said why it ended and the tokens
    were counted, or when nothing comes any more after the former.

    Args:
        model: that was asked, where the answer does not say.
        answers: how many were asked for.
        warn: told what of the answer chat has no place for, by its name in chat's message.
    """

    def __init__(self, model: str, answers: int, warn: Warn) -> None:
        self._head = _Head(model, "chat.completion.chunk")
        self._answers = answers
        self._warn = warn
        self._splitter = Splitter()
        self._candidates: dict[int, _Candidate] = {}
        self._usage: Json | None = None
        self._over = False

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """The events that ``data`` completes."""
        events: list[bytes] = []
        if self._over:
            return b""
        try:
            for event in self._events(data, last):
                events.append(event)  # noqa: PERF402 - what came before a fault is passed on
        except _Malformed as error:
            events.append(self._fail(_failed(str(error))))
        except _SLIPS:
            events.append(self._fail(_failed(_SHAPE)))
        return b"".join(events)

    def _events(self, data: bytes, last: bool) -> Iterator[bytes]:
        for event in self._splitter.feed(data):
            found = event.json
            if found is None:
                yield event.raw  # a comment, or what is no JSON: others say so
                continue
            yield from self._read(found)
            if self._over:
                return
        if last and self._candidates and self._has_ended():
            yield from self._end()

    def _fail(self, error: Json) -> bytes:
        self._over = True
        return encode(error)

    def _has_ended(self) -> bool:
        return all(each.finish is not None for each in self._candidates.values())

    def _read(self, found: Json) -> Iterator[bytes]:
        if "error" in found:
            yield self._fail(_error(found["error"]))
            return
        head = self._head.of(found)
        choices = [self._choice(each) for each in _candidates(found, self._answers)]
        if choices:
            yield encode({**head, "choices": choices})
        counted = _usage(found.get("usageMetadata"))
        self._usage = counted or self._usage
        if counted and len(self._candidates) >= self._answers and self._has_ended():
            yield from self._end()

    def _choice(self, said: Json) -> Json:
        index = said.get("index", 0)
        candidate = self._candidates.get(index)
        is_new = candidate is None
        if candidate is None:
            candidate = self._candidates[index] = _Candidate(self._warn)
        delta = candidate.say(said)
        if is_new:
            delta = {"role": "assistant", "content": "", **delta}
        return {
            "index": index,
            "delta": delta,
            "logprobs": _logprobs(said),
            "finish_reason": candidate.finish,
        }

    def _end(self) -> Iterator[bytes]:
        self._over = True
        if self._usage is not None:
            yield encode({**self._head.of({}), "choices": [], "usage": self._usage})
        yield DONE


class _Malformed(Exception):
    """The model's answer broke off."""


class _Head:
    """What all of an answer has in common."""

    def __init__(self, model: str, kind: str) -> None:
        self._found = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
        }
        self._is_known = False

    def of(self, found: Json) -> Json:
        """It is fixed by the first event that says."""
        if not self._is_known and (version := found.get("modelVersion")):
            self._found["model"] = str(version)
            if number := found.get("responseId"):
                self._found["id"] = f"chatcmpl-{number}"
            self._is_known = True
        return dict(self._found)


class _Candidate:
    """One of several answers.

    Args:
        warn: told what of it chat has no place for.

    Attributes:
        finish: why it ended, in chat's words; None: it has not.
    """

    def __init__(self, warn: Warn) -> None:
        self.finish: str | None = None
        self._warn = warn
        self._calls = 0

    def say(self, candidate: Json) -> Json:
        """What is new, as a delta. Raises ``_Malformed``."""
        delta: Json = {}
        for name in _BESIDE:
            if candidate.get(name):
                self._warn(f"message.{name}")
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._part(part, delta)
        reason = candidate.get("finishReason")
        if reason is not None:
            if reason not in _FINISH:
                said = candidate.get("finishMessage")
                why = f"{reason}: {said}" if isinstance(said, str) else str(reason)
                raise _Malformed(f"The model's answer broke off: {why}")
            finish = _FINISH[reason]
            self.finish = "tool_calls" if finish == "stop" and self._calls else finish
        if refusal := candidate.get("refusal"):
            delta["refusal"] = refusal
        return delta

    def _part(self, part: Json, delta: Json) -> None:
        if call := part.get("functionCall"):
            delta.setdefault("tool_calls", []).append(
                {
                    "index": self._calls,
                    "id": call.get("id") or f"call_{secrets.token_hex(12)}",
                    "type": "function",
                    "function": {
                        "name": call["name"],
                        "arguments": orjson.dumps(call.get("args") or {}).decode(),
                    },
                    **signed(part.get("thoughtSignature")),
                }
            )
            self._calls += 1
            return
        if text := part.get("text"):
            name = "reasoning_content" if part.get("thought") else "content"
            delta[name] = delta.get(name, "") + text
        delta |= signed(part.get("thoughtSignature"))
        for name, said in part.items():  # pictures, code that was run, and what is to be invented
            if name not in _SAID and said:
                self._warn(f"message.{_name(name)}")


def _name(found: str) -> str:
    """A field's name, which goes into a header: the model's words are none."""
    return found if word(found) else "part"


def _candidates(found: Json, answers: int) -> list[Json]:
    """What each answer says; a prompt that was blocked has none, and each of them says so."""
    candidates: list[Json] = found.get("candidates") or []
    why = (found.get("promptFeedback") or {}).get("blockReason")
    if candidates or why is None:
        return candidates
    told = f"The prompt was blocked: {why}."
    return [{"index": n, "finishReason": "SAFETY", "refusal": told} for n in range(answers)]


def _usage(found: Json | None) -> Json | None:
    """Counts grow from event to event; thoughts are paid for as answers are."""
    if found is None or "promptTokenCount" not in found:
        return None
    prompt = found["promptTokenCount"] + found.get("toolUsePromptTokenCount", 0)
    thoughts = found.get("thoughtsTokenCount", 0)
    answer = found.get("candidatesTokenCount", 0) + thoughts
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": found.get("cachedContentTokenCount", 0)},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }


def _logprobs(candidate: Json) -> Json | None:
    told = candidate.get("logprobsResult")
    if not told:
        return None
    chosen = told.get("chosenCandidates") or []
    others = told.get("topCandidates") or [{}] * len(chosen)
    return {
        "content": [
            {
                **_token(token),
                "top_logprobs": [_token(each) for each in other.get("candidates") or ()],
            }
            for token, other in zip(chosen, others, strict=False)
        ],
        "refusal": None,
    }


def _token(told: Json) -> Json:
    token, logprob = told.get("token", ""), told.get("logProbability", 0.0)
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _failed(message: str, code: str = "server_error") -> Json:
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


def _error(error: Json) -> Json:
    status = str(error.get("status") or "")
    return _failed(str(error.get("message") or status), _CODES.get(status, "server_error"))
