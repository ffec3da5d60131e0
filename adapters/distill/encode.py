"""From a row to token ids: the prompt as the engine gets it, then what it should write.

An engine is handed the prompt's ids and appends tokens until an end mark. So an example is exactly
those ids, followed by the tokens of the answer and its end mark, which alone are trained on.
Where the template writes an answer of the past just as the model would have written it, its
own rendering is taken; where it does not (it strips something, or opens the answer with other
text), the answer's tokens are set after the prompt's.

Special tokens that a text only spells out are an attack or an accident: such a row is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.corpus.tools import TOOLS, arguments_of, calls_in, offered
from adapters.dataset.groups import masked, text_of
from adapters.distill.job import Example

_KEPT = ("name", "tool_call_id", "reasoning")


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    @property
    def all_special_tokens(self) -> Sequence[str]: ...
    @property
    def eos_token_id(self) -> int | None: ...
    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...
    def __call__(self, text: str, **options: Any) -> Any: ...
    def convert_ids_to_tokens(self, ids: Any, **options: Any) -> Any: ...


class NotTrainable(Exception):
    """Why one row is left out; a few words, the same for all of its kind."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids; those from ``start`` on are trained."""

    ids: tuple[int, ...]
    start: int
    group: str
    """Rows of one group stay on one side of the held-out part."""
    digest: str
    teacher: tuple[Mapping[int, float], ...] | None = None
    """Per trained token the teacher's probabilities by token id; empty where it gave none."""

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return len(self.ids) - self.start


class Encoder:
    """Encodes rows for one base.

    Args:
        tokenizer: the served one, with the served chat template.
        ends: ids at which the engine stops, by the base's generation settings.
        max_length: tokens that an example may have.
    """

    def __init__(self, tokenizer: Tokenizer, ends: Collection[int], max_length: int) -> None:
        own = {tokenizer.eos_token_id} - {None}
        self._tokenizer = tokenizer
        self._ends = frozenset(ends) | own
        self._end = tokenizer.eos_token_id if own else min(ends, default=None)
        self._max_length = max_length
        special = [re.escape(token) for token in tokenizer.all_special_tokens if token]
        self._special = re.compile("|".join(special)) if special else None

    def encode(self, example: Example) -> Encoded:
        """One row. Raises ``NotTrainable``."""
        if _uses_tools(example) and not example.tools:
            raise NotTrainable("uses tools that the row does not carry")
        messages = served_messages(example.messages)
        tools = served_tools(example.tools)
        said = answer_message(example)
        self._refuse_special([*messages, said], tools)
        prompt = self._render(messages, tools, opened=True)
        ids = self._as_rendered(prompt, messages, said, tools) or self._as_continued(prompt, said)
        if len(ids) > self._max_length:
            raise NotTrainable(f"longer than {self._max_length} tokens")
        return Encoded(tuple(ids), len(prompt), example.group or group_of(messages), example.digest)

    def _as_rendered(
        self,
        prompt: list[int],
        messages: list[dict[str, Any]],
        said: dict[str, Any],
        tools: list[dict[str, Any]] | None,
    ) -> list[int] | None:
        """Prompt, answer and end mark as the template writes the whole conversation."""
        whole = self._render([*messages, said], tools, opened=False)
        if whole[: len(prompt)] != prompt:
            return None
        for at in range(len(prompt), len(whole)):
            if whole[at] in self._ends:
                return whole[: at + 1]
        return None

    def _as_continued(self, prompt: list[int], said: dict[str, Any]) -> list[int]:
        if "tool_calls" in said:
            raise NotTrainable("calls of tools that the template does not continue the prompt with")
        if self._end is None:
            raise NotTrainable("the base has no end mark")
        answer = self._tokenizer(said["content"], add_special_tokens=False)["input_ids"]
        return [*prompt, *answer, self._end]

    def _render(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, opened: bool
    ) -> list[int]:
        try:
            ids = self._tokenizer.apply_chat_template(
                messages,
                tools=tools,
                add_generation_prompt=opened,
                tokenize=True,
                return_dict=False,
            )
        except Exception as error:  # a template is a program; whatever it raises, it refuses
            raise NotTrainable("the chat template refuses its turns") from error
        return list(ids)

    def _refuse_special(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
    ) -> None:
        if self._special is None:
            return
        texts = [text for message in messages for text in _texts(message)]
        if any(map(self._special.search, [*texts, *map(_json, tools or ())])):
            raise NotTrainable("a text spells out a special token")


def encode_all(
    encoder: Encoder, examples: Sequence[Example], heard: Callable[[str], None]
) -> list[Encoded]:
    """Every row that can be trained on; ``heard`` gets why another is left out."""
    found = []
    for example in examples:
        try:
            found.append(encoder.encode(example))
        except NotTrainable as why:
            heard(str(why))
    return found


def served_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as the engine hands them to the template: text in one piece, arguments parsed."""
    return [_served(message) for message in messages]


def _served(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "\n".join(_part(part) for part in content)
    said = {"role": message.get("role", "user"), "content": content}
    said |= {key: message[key] for key in _KEPT if message.get(key) is not None}
    if calls := message.get("tool_calls"):
        said["tool_calls"] = [_parsed(call) for call in calls]
    return said


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    raise NotTrainable("a part of a message is not text")


def _parsed(call: Mapping[str, Any]) -> dict[str, Any]:
    """As vLLM does before it renders: templates expect arguments as an object, whatever they are"""
    function = dict(call.get("function") or {})
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = None
    function["arguments"] = arguments if isinstance(arguments, dict) else {}
    return {**call, "function": function}


def served_tools(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Tools as vLLM's request model writes them out again, in its order and with its nulls."""
    return [_tool(tool) for tool in tools] or None


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    given = tool.get("function") or {}
    function = {key: given.get(key) for key in ("name", "description", "parameters")}
    if given.get("strict") is not None:
        function["strict"] = given["strict"]
    return {"type": "function", "function": function}


def answer_message(example: Example) -> dict[str, Any]:
    """The answer as a turn; calls of the request's tools as calls. Raises ``NotTrainable``."""
    names = offered({TOOLS: example.tools}).names
    only = [] if example.calls else calls_in(example.answer, names)
    calls = [*example.calls, *only]
    if any(arguments_of(call) is None for call in calls):
        raise NotTrainable("a call's arguments are no JSON object")
    said = {"role": "assistant", "content": "" if only else example.answer}
    return said | ({"tool_calls": [_parsed(call) for call in calls]} if calls else {})


def _listed(answer: str) -> list[dict[str, Any]]:
    """The JSON objects that an answer consists of."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):  # 40 KB of brackets nest too deeply
        return []
    listed = value if isinstance(value, list) else [value]
    return listed if all(isinstance(each, dict) for each in listed) else []


def group_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """What makes two rows the same question: the template of the first one."""
    return masked(next((text_of(each) for each in messages if each.get("role") == "user"), ""))


def _uses_tools(example: Example) -> bool:
    """Whether any turn calls a tool or hears one."""
    turns = example.messages
    used = any(turn.get("role") == "tool" or turn.get("tool_calls") for turn in turns)
    return used or any("function" in call for call in _listed(example.answer))


def _texts(message: Mapping[str, Any]) -> list[str]:
    calls = message.get("tool_calls") or ()
    return [str(message.get("content") or ""), *(_json(call["function"]) for call in calls)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
