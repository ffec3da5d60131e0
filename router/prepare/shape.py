"""What every target would refuse: said here, before anybody is called for it.

Only what no model could read: a target's own checks are its own. Providers that fall over such a
body would otherwise be asked again, and be thought broken for what a client did.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from router.errors import InvalidRequest
from router.wire.endpoint import Endpoint

_ROLE: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}")
_GOES_ON: Final = ("prompt", "previous_response_id", "conversation")
"""Fields of Responses in whose place there need be no ``input``."""


def check_shape(endpoint: Endpoint, body: Mapping[str, Any]) -> None:
    """Raises ``InvalidRequest`` when there is nothing in a body that a model could be asked."""
    _CHECKS[endpoint](body)


def _messages(body: Mapping[str, Any]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad("messages", "a list with at least one message")
    for number, message in enumerate(messages):
        where = f"messages.{number}"
        if not isinstance(message, dict):
            raise _bad(where, "an object with `role` and `content`")
        role = message.get("role")
        if not isinstance(role, str) or not _ROLE.fullmatch(role):
            raise _bad(f"{where}.role", "the name of a role, such as user")
        _content(f"{where}.content", message.get("content"))


def _content(where: str, content: Any) -> None:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _bad(where, "a string or a list of content parts")
    for number, part in enumerate(content):
        if not isinstance(part, str | dict):
            raise _bad(f"{where}.{number}", "a content part: an object with a `type`")


def _prompt(body: Mapping[str, Any]) -> None:
    if "prompt" in body and not isinstance(body["prompt"], str | list):
        raise _bad("prompt", "a string or a list")


def _responses(body: Mapping[str, Any]) -> None:
    given = body.get("input")
    if given is None:
        if not any(name in body for name in _GOES_ON):
            raise _bad("input", "a string or a list of items")
    elif isinstance(given, list):
        for number, item in enumerate(given):
            if not isinstance(item, dict):
                raise _bad(f"input.{number}", "an object: a message or another item")
    elif not isinstance(given, str):
        raise _bad("input", "a string or a list of items")


def _embeddings(body: Mapping[str, Any]) -> None:
    given = body.get("input")
    if not isinstance(given, str | list) or given == []:
        raise _bad("input", "a string or a list with at least one text")


def _bad(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' must be {what}.", param=param)


_CHECKS: Final[Mapping[Endpoint, Callable[[Mapping[str, Any]], None]]] = {
    Endpoint.CHAT: _messages,
    Endpoint.MESSAGES: _messages,
    Endpoint.COMPLETIONS: _prompt,
    Endpoint.RESPONSES: _responses,
    Endpoint.EMBEDDINGS: _embeddings,
}
