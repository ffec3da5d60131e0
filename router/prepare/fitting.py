"""System messages, turns and tools' results as a target's chat template takes them.

Templates differ: some have no system message, some want user and assistant to alternate and the
user to begin. What they would refuse, or leave out without a word, is said in another way here. And
what a tool found cannot end its own message: engines here read a template's marks in any text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeGuard

from adapters.aliases import Roles
from router.delivery import Bodies
from router.exchange import Exchange
from router.request import Option
from router.wire.endpoint import Endpoint
from router.wire.kinds import Kind
from router.wire.template_marks import spaced
from router.wire.texts import Text, rewrite

Body = dict[str, Any]
_SYSTEM: Final = frozenset({"system", "developer"})
_TOOLS: Final = frozenset({"tool", "function"})
_MERGED: Final = frozenset({"user", "assistant"})
_BEGIN: Final = "(The conversation begins with the assistant.)"
_NO_SYSTEM: Final = "messages (no system role: it is said in the first turn of the user)"
_FIRST: Final = "messages (system messages come first)"
_JOINED: Final = "messages (neighbouring turns of one role are joined)"
_BEGUN: Final = "messages (a turn of the user was put first)"
_SPACED: Final = "tool results (marks of chat templates in them are written with spaces)"


class Fitting:
    """Fits bodies to templates. ``roles_of``: what a frontier's takes."""

    def __init__(self, roles_of: Callable[[Option], Roles]) -> None:
        self._roles_of = roles_of

    def bodies(self, exchange: Exchange, bodies: Bodies) -> Bodies:
        """The same bodies, as each target can take them; what changed is warned of."""
        request = exchange.request

        has_marks = any(_found(each) and spaced(each.text) != each.text for each in request.texts)

        async def of(option: Option) -> Body:
            body = await bodies(option)
            table = exchange.decision.table
            roles = table.roles if option.is_local else self._roles_of(option)
            body, warnings = fitted(request.endpoint, body, roles)
            if has_marks and option.is_local:
                body = rewrite(body, _spaced, opens_json=False)
                warnings = [*warnings, _SPACED]
            for warning in warnings:
                exchange.delivery.warn(option.target, warning)
            return body

        return of


def _found(text: Text) -> bool:
    """Whether it is what a tool found."""
    return text.kind is Kind.RESULT or text.role in _TOOLS


def _spaced(text: Text) -> str:
    return spaced(text.text) if _found(text) else text.text


def fitted(endpoint: Endpoint, body: Body, roles: Roles) -> tuple[Body, list[str]]:
    """A body as a template with these roles takes it, and what was changed; in words.

    What has no messages, or not in the shape that its API demands, stays as it is.
    """
    if roles == Roles():
        return body, []
    if endpoint is Endpoint.CHAT:
        return _chat(body, roles)
    if endpoint is Endpoint.MESSAGES:
        return _messages(body, roles)
    if endpoint is Endpoint.RESPONSES and not roles.system:
        return _responses(body)
    return body, []


def _chat(body: Body, roles: Roles) -> tuple[Body, list[str]]:
    messages = body.get("messages")
    if not _are_messages(messages):
        return body, []
    if not roles.developer:
        messages = [_as_system(each) for each in messages]
        body = {**body, "messages": messages}
    warnings: list[str] = []
    system = [each for each in messages if each["role"] in _SYSTEM]
    turns = [each for each in messages if each["role"] not in _SYSTEM]
    if not turns:
        return body, []
    if system and not roles.system:
        warnings.append(_NO_SYSTEM)
        turns, system = _before(turns, _joined(each.get("content") for each in system)), []
    elif system and messages[: len(system)] != system:
        warnings.append(_FIRST)
    if roles.alternates:
        turns = _alternating(turns, warnings)
        if len(system) > 1:
            system = [{**system[0], "content": _joined(each.get("content") for each in system)}]
    return ({**body, "messages": [*system, *turns]}, warnings) if warnings else (body, [])


def _messages(body: Body, roles: Roles) -> tuple[Body, list[str]]:
    turns = body.get("messages")
    if not _are_messages(turns) or any(each["role"] not in _MERGED for each in turns):
        return body, []
    warnings: list[str] = []
    found = {**body}
    if body.get("system") and not roles.system:
        warnings.append(_NO_SYSTEM)
        turns = _before(turns, found.pop("system"))
    if roles.alternates:
        turns = _alternating(turns, warnings)
    return ({**found, "messages": turns}, warnings) if warnings else (body, [])


def _responses(body: Body) -> tuple[Body, list[str]]:
    said = body.get("input")
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        return body, []
    system = [body.get("instructions")]
    system += [each.get("content") for each in items if each.get("role") in _SYSTEM]
    if not any(system):
        return body, []
    turns = [each for each in items if each.get("role") not in _SYSTEM]
    found = {name: value for name, value in body.items() if name != "instructions"}
    found["input"] = _before(turns, _joined(system, "input_text"), "input_text")
    return found, [_NO_SYSTEM]


def _as_system(message: Body) -> Body:
    return {**message, "role": "system"} if message["role"] == "developer" else message


def _are_messages(value: Any) -> TypeGuard[list[Body]]:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in value)
    )


def _before(turns: list[Body], system: Any, part: str = "text") -> list[Body]:
    """With what the system says at the beginning of the user's first turn."""
    place = next((n for n, each in enumerate(turns) if each.get("role") == "user"), None)
    if place is None:
        return [{"role": "user", "content": system}, *turns]
    first = {**turns[place], "content": _joined([system, turns[place].get("content")], part)}
    return [*turns[:place], first, *turns[place + 1 :]]


def _alternating(turns: list[Body], warnings: list[str]) -> list[Body]:
    found: list[Body] = []
    for turn in turns:
        last = found[-1] if found else {}
        role = turn["role"]
        if role in _MERGED and last.get("role") == role and not last.get("tool_calls"):
            found[-1] = {**last, **turn, "content": _joined([last["content"], turn.get("content")])}
        else:
            found.append({**turn, "content": turn.get("content")})
    if len(found) < len(turns):
        warnings.append(_JOINED)
    if found[0]["role"] == "assistant":
        warnings.append(_BEGUN)
        found.insert(0, {"role": "user", "content": _BEGIN})
    return found


def _joined(contents: Iterable[Any], part: str = "text") -> Any:
    """Texts as one text; as soon as there are parts, all as parts, texts of this type."""
    given = [each for each in contents if each]
    if all(isinstance(each, str) for each in given):
        return "\n\n".join(given)
    parts: list[Any] = []
    for each in given:
        parts += [{"type": part, "text": each}] if isinstance(each, str) else list(each)
    return parts
