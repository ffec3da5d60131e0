"""Rows as JSON lines, as trainers write and read them: `messages`, or prompt and completion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.corpus.tools import CALLS, TOOLS, Call, Offered, Tool, calls_in, calls_of, offered
from adapters.dataset.files import line_of, said
from adapters.dataset.frozen import Row, Split
from adapters.dataset.groups import text_of
from adapters.resources import first_problem
from adapters.review.gold import Provenance

Format = Literal["messages", "prompt_completion"]
FORMATS: tuple[str, ...] = get_args(Format)
MAX_LINE_BYTES: Final = 1 << 20
_MAX_MESSAGES: Final = 500
_MAX_DEPTH: Final = 50
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_HASH: Final = r"^[0-9a-f]{64}$"
_BOM: Final = b"\xef\xbb\xbf"
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was not taken; lines count from 1."""

    line: int
    reason: str


class Beside(BaseModel):
    """What a line may say beside the example itself; other names are left alone."""

    model_config = ConfigDict(extra="ignore", strict=True)

    intent: str | None = Field(default=None, max_length=256)
    tenant: str = Field(default="", max_length=256)
    split: Split | None = None
    exchange_id: str | None = Field(default=None, pattern=r"^(exc|imp)_[0-9a-f]{8,64}$")
    provenance: Provenance = "human"
    teacher: str = Field(default="", max_length=256)
    at: float | None = Field(default=None, ge=0, le=1e12)
    subjects: list[str] = Field(default_factory=list, max_length=64)
    conversation: str = Field(default="", max_length=64)
    replay: bool = False
    tools: list[dict[str, Any]] | str | None = None
    """Of the request; as text where a reader's columns would have made them all alike."""
    logprobs: Any = None
    user: str | None = Field(default=None, max_length=1024)
    safety_identifier: str | None = Field(default=None, max_length=1024)
    subject: str | None = Field(default=None, max_length=1024)

    @property
    def named(self) -> list[str]:
        """Persons by their names, as clients gave them."""
        return [each for each in (self.user, self.safety_identifier, self.subject) if each]


@dataclass(frozen=True, slots=True)
class Brought:
    """One example of a file."""

    line: int
    messages: tuple[Mapping[str, Any], ...]
    answer: str
    beside: Beside
    tools: tuple[Tool, ...] = ()
    calls: tuple[Call, ...] = ()
    """Calls that the answer makes beside what it says."""


# Reading


def read(raw: bytes, form: Format) -> Iterator[Brought | Rejected]:
    """Every line that is not empty. A line ends with a line feed and nothing else."""
    for number, line in enumerate(raw.removeprefix(_BOM).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _brought(number, line, form)
        except ValueError as error:
            yield Rejected(number, str(error))


def _brought(number: int, line: bytes, form: Format) -> Brought:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"it is longer than {MAX_LINE_BYTES} bytes")
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg}") from error
    if _is_deeper(found, _MAX_DEPTH):
        raise ValueError(f"it is nested deeper than {_MAX_DEPTH} levels")
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - one kind for all that a line is not
    *messages, last = _messages(found) if form == "messages" else _prompt(found)
    beside = _beside(found)
    tools = _tools(beside)
    answer = _answer(last)
    calls = calls_of(last.get(CALLS), tools.names) if text_of(last).strip() else []
    if last.get(CALLS) and not (calls or _is_known(answer, last, tools)):
        raise ValueError("tool_calls: a tool is called that the line does not offer")
    return Brought(number, tuple(messages), answer, beside, tools.tools, tuple(calls))


def _is_known(answer: str, last: Mapping[str, Any], tools: Offered) -> bool:
    """Whether an answer that only calls may stand for its calls; nobody says of what, without any
    tools.
    """
    is_only = not text_of(last).strip()
    return is_only and (not tools.tools or bool(calls_in(answer, tools.names)))


def _is_deeper(value: Any, most: int) -> bool:
    """Whether JSON is nested deeper; without recursion, which such JSON is made to exhaust."""
    level = [value]
    for _ in range(most):
        inner = [each for each in level if isinstance(each, dict | list)]
        if not inner:
            return False
        level = [v for each in inner for v in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(each, dict | list) for each in level)


def _messages(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _checked(found.get("messages"), "messages", 2)


def _prompt(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    prompt, completion = found.get("prompt"), found.get("completion")
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(completion, str):
        completion = [{"role": "assistant", "content": completion}]
    said = _checked(completion, "completion", 1)
    if len(said) != 1:
        raise ValueError("completion: must be a text or one message")
    return [*_checked(prompt, "prompt", 1), *said]


def _checked(found: Any, name: str, least: int) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not least <= len(found) <= _MAX_MESSAGES:
        raise ValueError(f"{name}: must be a list of {least} to {_MAX_MESSAGES} messages")
    for message in found:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise ValueError(f"{name}: a message needs a role: {', '.join(sorted(_ROLES))}")
        content = message.get("content")
        if not (isinstance(content, str | list) or (content is None and "tool_calls" in message)):
            raise ValueError(f"{name}: a message needs a text as content")
    # Readers with columns fill in what other messages have.
    return [
        {name: each for name, each in message.items() if each is not None or name == "content"}
        for message in found
    ]


def _answer(last: Mapping[str, Any]) -> str:
    if last["role"] != "assistant":
        raise ValueError("the last message must be the assistant's")
    text = text_of(last)
    if not text.strip() and last.get(CALLS):
        text = orjson.dumps(last[CALLS]).decode()
    if not text.strip():
        raise ValueError("the answer is empty")
    return text


def _beside(found: Mapping[str, Any]) -> Beside:
    given = {name: value for name, value in found.items() if value is not None}
    try:
        beside = Beside.model_validate(given)
    except ValidationError as error:
        field, what = first_problem(error)
        raise ValueError(f"{field}: {what}") from error
    if not all(re.fullmatch(_HASH, each) for each in beside.subjects):
        raise ValueError("subjects: must be keyed hashes; a name goes into `subject`")
    if beside.intent is not None and not _NAME.fullmatch(beside.intent):
        raise ValueError("intent: is no name")
    return beside


def _tools(beside: Beside) -> Offered:
    """Of functions only: what else a tool is, nobody could be asked with."""
    given = beside.tools
    if isinstance(given, str):
        try:
            given = orjson.loads(given)
        except orjson.JSONDecodeError as error:
            raise ValueError("tools: is no JSON") from error
        if given is not None and (not isinstance(given, list) or _is_deeper(given, _MAX_DEPTH)):
            raise ValueError("tools: must be a list of functions")
    found = offered({TOOLS: given})
    if found.left_out:
        raise ValueError("tools: each must be a function, with a name and parameters")
    return found


# Writing


def write(rows: Sequence[Row], form: Format, *, beside: bool) -> Iterator[bytes]:
    """A line for each row; ``beside``: with all that is known of it."""
    shape = _shape(rows, form)
    for row in rows:
        line = shape(row)
        if beside:
            known = line_of(row)
            del known["messages"]
            line |= known
        yield orjson.dumps(line) + b"\n"


def _shape(rows: Sequence[Row], form: Format) -> Callable[[Row], dict[str, Any]]:
    if form == "messages":
        return lambda row: {"messages": [*row.messages, said(row)], **_offered(row)}
    if all(_is_one_text(row.messages) and not row.tools for row in rows):
        return lambda row: {"prompt": row.messages[0]["content"], "completion": row.answer}
    # One form for the whole file: readers give a column one type.
    return lambda row: {
        "prompt": list(row.messages),
        "completion": [said(row)],
        **_offered(row),
    }


def _offered(row: Row) -> dict[str, Any]:
    return {TOOLS: list(row.tools)} if row.tools else {}


def _is_one_text(messages: Sequence[Mapping[str, Any]]) -> bool:
    if len(messages) != 1:
        return False
    [only] = messages
    return only.keys() == {"role", "content"} and only["role"] == "user" and _is_text(only)


def _is_text(message: Mapping[str, Any]) -> bool:
    return isinstance(message["content"], str)
