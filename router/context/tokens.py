"""How many tokens a target makes of something: by its own tokenizer, or never too few.

Where a target's tokenizer is not at hand, its tokens are bounded by bytes: tokenizers in use split
text into its bytes at worst, and no further.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from router.wire.endpoint import Endpoint
from router.wire.kinds import Kind
from router.wire.texts import survey
from router.wire.translate.messages_to_vllm import Unlike, vllm_request

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Body = dict[str, Any]
IMAGE_TOKENS: Final = 1024
"""A picture of medium size."""
_TURN_TOKENS: Final = 16
"""What templates write around a message, at most, where the template is not at hand."""
_BEGINNING_TOKENS: Final = 64
"""What they write around all of them."""
_NOT_READ: Final = frozenset({Kind.OTHER, Kind.IDENTITY, Kind.TOKEN, Kind.DEFINITION})
_MAX_TEMPLATE_CHARS: Final = 256 * 1024


class Counter(Protocol):
    """One target's tokens. Blocks for as long as tokenizing takes."""

    def text(self, text: str) -> int:
        """Tokens that a text adds to a prompt, at most."""
        ...

    def prompt(self, endpoint: Endpoint, body: Body) -> int:
        """Tokens of everything that the target reads, at most."""
        ...


class ByBytes:
    """An upper bound for any tokenizer."""

    def text(self, text: str) -> int:
        """Its bytes in UTF-8."""
        return len(text.encode("utf-8", "replace"))

    def prompt(self, _endpoint: Endpoint, body: Body) -> int:
        """The bytes of all that is read, and room for what stands around messages."""
        return _sum(body, self.text)


class ByTokenizer:
    """A target whose files are at hand.

    Args:
        tokenizer: of the target.
        template: its chat template, as Jinja; None: there is none.
    """

    def __init__(self, tokenizer: Tokenizer, template: str | None = None) -> None:
        self._tokenizer = tokenizer
        self._template = template

    def text(self, text: str) -> int:
        """In its own count."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def prompt(self, endpoint: Endpoint, body: Body) -> int:
        """In its own count: what its chat template writes. Where that fails, its texts' sum."""
        if endpoint is Endpoint.COMPLETIONS:
            return self._longest(body.get("prompt"))
        written = self._written(endpoint, body)
        if written is None:
            return _sum(body, self.text)
        return self.text(written) + survey(body).images * IMAGE_TOKENS

    def _longest(self, prompt: Any) -> int:
        """Of several prompts each has the window to itself."""
        if isinstance(prompt, str):
            return len(self._tokenizer.encode(prompt).ids)
        if not isinstance(prompt, list):
            return 0
        if prompt and isinstance(prompt[0], int):
            return len(prompt)
        return max((self._longest(each) for each in prompt), default=0)

    def _written(self, endpoint: Endpoint, body: Body) -> str | None:
        """The prompt as the engine's server writes it; None where nobody here knows how."""
        try:
            chat = _as_chat(endpoint, body)
            return self._render(chat)
        except Exception:  # noqa: BLE001 - templates raise what they like
            return None

    def _render(self, chat: Body) -> str:
        assert self._compiled is not None
        return str(
            self._compiled.render(
                messages=[_flat(message) for message in chat["messages"]],
                tools=chat.get("tools") or None,
                add_generation_prompt=True,
                **(chat.get("chat_template_kwargs") or {}),
            )
        )

    @cached_property
    def _compiled(self) -> Any:
        if self._template is None:
            return None
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _refused
        return environment.from_string(self._template)


def _tojson(value: Any, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refused(message: str) -> None:
    raise ValueError(message)


def _as_chat(endpoint: Endpoint, body: Body) -> Body:
    if endpoint is Endpoint.CHAT:
        return body
    if endpoint is Endpoint.MESSAGES:
        return vllm_request({"max_tokens": 1, **body})
    raise Unlike("its items")


def _flat(message: Body) -> Body:
    """As vLLM gives it to a template that wants strings."""
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text", "") for part in content if isinstance(part, dict)]
        return {**message, "content": "\n".join(texts)}
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [_call(each) for each in calls]} if calls else message


def _call(call: Body) -> Body:
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        function = {**function, "arguments": orjson.loads(arguments or "{}")}
    return {**call, "function": function}


def _sum(body: Body, count: Callable[[str], int]) -> int:
    found = survey(body)
    texts = sum(count(each.text) for each in found.texts if each.kind not in _NOT_READ)
    defined = sum(
        count(orjson.dumps(body[name]).decode()) + _BEGINNING_TOKENS
        for name in ("tools", "functions", "response_format")
        if body.get(name)
    )
    around = _BEGINNING_TOKENS + _TURN_TOKENS * (found.messages + len(found.parts) + 1)
    return texts + defined + around + found.images * IMAGE_TOKENS + found.token_ids


def local_counter(directory: Path) -> Counter | None:
    """The counter of a model whose tokenizer lies in a directory; None when none lies there."""
    from tokenizers import Tokenizer

    path = directory / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return ByTokenizer(tokenizer, _template_in(directory))


def _template_in(directory: Path) -> str | None:
    own = directory / "chat_template.jinja"
    if own.is_file():
        return own.read_text("utf-8")[:_MAX_TEMPLATE_CHARS]
    config = directory / "tokenizer_config.json"
    found = json.loads(config.read_text("utf-8")).get("chat_template") if config.is_file() else None
    if isinstance(found, list):
        found = next((each["template"] for each in found if each.get("name") == "default"), None)
    return found if isinstance(found, str) else None
