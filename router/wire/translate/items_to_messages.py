"""The items of a Responses conversation as the messages of a chat."""

from __future__ import annotations

from typing import Any, Final

import orjson

from router.wire.translate.response_items import TEXT_OF_A_CUSTOM_CALL
from router.wire.translate.signatures import signed, unsealed
from router.wire.translate.vocabulary import a_string, malformed, records, unsupported

Json = dict[str, Any]
_SYSTEM: Final = frozenset({"system", "developer"})
_TEXTS: Final = frozenset({"input_text", "output_text", "text"})
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_OF_SERVERS: Final = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
"""What a provider's own tools did: what came of it is in the message after it."""


class Talk:
    """Makes messages of items, one after the other.

    System and developer messages stay where they are, as messages of the system. Thoughts of
    earlier turns are forgotten, but for Google's signatures, which go with the calls after them.
    Calls that stand beside each other are one turn, as chat demands; pictures among the results of
    tools follow in a message of the user, since those of chat hold only text.

    Attributes:
        messages: of the chat.
        origins: where in the request something of the chat comes from, by its path there.
        left_out: items that are not said, named.
    """

    def __init__(self, instructions: object) -> None:
        self.messages: list[Json] = []
        self.origins: dict[str, str] = {}
        self.left_out: list[str] = []
        self._shown: list[Json] = []
        self._signature: str | None = None
        if instructions:
            text = a_string(instructions, "instructions")
            self._say({"role": "system", "content": text}, "instructions")

    def read(self, said: object) -> None:
        """The conversation.

        Raises:
            InvalidRequest: an item is malformed or cannot be said in chat.
        """
        if isinstance(said, str):
            self._say({"role": "user", "content": said}, "input")
            return
        for number, item in enumerate(records(said, "input")):
            self._item(item, f"input.{number}")
        self._show("input")

    def _item(self, item: Json, param: str) -> None:
        kind = str(item.get("type", "message"))  # a set cannot be asked about a list
        if kind in _RESULTS:
            self._result(item, param)
            return
        if kind == "reasoning":
            self._think(item)
            return
        if kind in _OF_SERVERS:
            self.left_out.append(f"input.{kind}")
            return
        self._show(param)
        if kind == "function_call":
            self._call(item, a_string(item.get("arguments"), f"{param}.arguments"), param)
        elif kind == "custom_tool_call":
            text = a_string(item.get("input"), f"{param}.input")
            self._call(item, orjson.dumps({TEXT_OF_A_CUSTOM_CALL: text}).decode(), param)
        elif kind == "message" and "role" in item:
            self._message(item, param)
        elif kind == "item_reference" or (kind == "message" and "id" in item):
            raise unsupported(param, "names an item that another provider keeps: send it whole")
        else:
            raise _unknown(kind, param)

    def _message(self, item: Json, param: str) -> None:
        role = str(item["role"])
        if role in _SYSTEM:
            content = self._content(item.get("content"), f"{param}.content")
            if isinstance(content, list) and any(part["type"] != "text" for part in content):
                raise malformed(f"{param}.content", "text in a message of the system")
            self._say({"role": "system", "content": content}, param)
        elif role == "user":
            content = self._content(item.get("content"), f"{param}.content")
            self._say({"role": "user", "content": content}, param)
        elif role == "assistant":
            self._answered(_words(item.get("content"), f"{param}.content"), param)
        else:
            raise malformed(f"{param}.role", "system, developer, user or assistant")

    def _answered(self, text: str, param: str) -> None:
        last = self.messages[-1] if self.messages else {}
        if "tool_calls" in last:  # whose results follow: chat has no place between them
            last["content"] = (last["content"] or "") + text
        else:
            self._say({"role": "assistant", "content": text}, param)

    def _call(self, item: Json, arguments: str, param: str) -> None:
        call = {
            "id": a_string(item.get("call_id"), f"{param}.call_id"),
            "type": "function",
            "function": {
                "name": a_string(item.get("name"), f"{param}.name"),
                "arguments": arguments,
            },
            **signed(self._signature),
        }
        self._signature = None
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self._say({"role": "assistant", "content": None}, param)
        calls = self.messages[-1].setdefault("tool_calls", [])
        turn = len(self.messages) - 1
        self.origins[f"messages.{turn}.tool_calls.{len(calls)}.function"] = param
        calls.append(call)

    def _result(self, item: Json, param: str) -> None:
        call_id = a_string(item.get("call_id"), f"{param}.call_id")
        output = item.get("output")
        if not isinstance(output, str):
            parts = self._parts([] if output is None else output, f"{param}.output")
            output = "\n".join(part["text"] for part in parts if part["type"] == "text")
            self._shown += [part for part in parts if part["type"] != "text"]
        self._say({"role": "tool", "tool_call_id": call_id, "content": output}, param)

    def _content(self, content: object, param: str) -> str | list[Json]:
        if isinstance(content, str):
            return content
        parts = self._parts(content, param)
        if len(parts) == 1 and parts[0]["type"] == "text":
            return str(parts[0]["text"])
        return parts

    def _parts(self, content: object, param: str) -> list[Json]:
        parts = records(content, param)
        for part in parts:
            if part.get("type") == "input_file" and part.get("detail") not in (None, "auto"):
                self.left_out.append("input.content.detail")  # chat has it of pictures only
        return [_part(part, f"{param}.{number}") for number, part in enumerate(parts)]

    def _think(self, item: Json) -> None:
        self._signature = unsealed(item)
        if self._signature is None:
            self.left_out.append("input.reasoning")

    def _show(self, param: str) -> None:
        """What the tools showed, once all that were called together have answered."""
        if self._shown:
            self._say({"role": "user", "content": self._shown}, param)
            self._shown = []

    def _say(self, message: Json, param: str) -> None:
        self.origins[f"messages.{len(self.messages)}"] = param
        self.messages.append(message)


def _words(content: object, param: str) -> str:
    """Of the assistant: what it said, or why it did not."""
    if isinstance(content, str):
        return content
    said = []
    for number, part in enumerate(records(content, param)):
        where, kind = f"{param}.{number}", str(part.get("type"))
        if kind not in _TEXTS and kind != "refusal":
            raise _unknown(kind, where)
        said.append(a_string(part.get("refusal" if kind == "refusal" else "text"), where))
    return "".join(said)


def _part(part: Json, param: str) -> Json:
    kind = str(part.get("type"))
    if kind in _TEXTS:
        return {"type": "text", "text": a_string(part.get("text"), f"{param}.text")}
    if kind == "input_image":
        return _image(part, param)
    if kind == "input_file":
        return _file(part, param)
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise _unknown(kind, param)


def _unknown(kind: str, param: str) -> Exception:
    return unsupported(param, f"is of type {kind[:64]!r}, which this model does not take")


def _image(part: Json, param: str) -> Json:
    url = part.get("image_url")
    if not isinstance(url, str):
        raise unsupported(param, "must carry `image_url`: this model knows no uploaded files")
    detail = part.get("detail")
    more = {} if detail in (None, "auto") else {"detail": detail}
    return {"type": "image_url", "image_url": {"url": url, **more}}


def _file(part: Json, param: str) -> Json:
    data = part.get("file_data")
    if not isinstance(data, str):
        raise unsupported(param, "must carry `file_data`: this model fetches no files")
    name = part.get("filename")
    return {"type": "file", "file": {"filename": name or "document", "file_data": data}}
