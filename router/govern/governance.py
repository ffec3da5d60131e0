"""Governance of personal data and secrets: wired once a process, asked by the pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from router.config.governance import SECRETS, GovernanceConfig
from router.errors import GuardUnavailable, SecretBlocked
from router.govern.actions import Actions, PiiPolicy
from router.govern.detectors import IN_IDS
from router.govern.guard import Guard
from router.govern.scan import Detectors, Found, Scanner
from router.govern.vault.conversations import Conversations
from router.govern.vault.replacing import Replacing
from router.govern.vault.vault import Vault
from router.request import WITHHELD, Decision, Option, Request
from router.wire.kinds import Kind
from router.wire.names import is_spelled_out
from router.wire.texts import Text, survey
from router.wire.texts import replace as replace_texts

_SUBJECT: Final = "[SUBJECT_1]"
_SHORTEST_NAME: Final = 3
"""A shorter name is in every text by chance."""


class Governance:
    """What may leave for whom.

    Args:
        config: the rules.
        detectors: what looks.
        digest: a keyed hash of a value, hexadecimal; the same in all processes.
    """

    def __init__(
        self, config: GovernanceConfig, detectors: Detectors, digest: Callable[[str], str]
    ) -> None:
        self._policy = PiiPolicy(config.pii)
        self._scanner = Scanner(detectors, config.pii)
        self._digest = digest
        self.conversations = Conversations(
            config.pii.conversation_ttl_s, config.pii.conversations_kept
        )

    async def inbound(self, request: Request, *, names: bool = False) -> Request:
        """The request as it may go on, with the kinds of data in it.

        Args:
            request: as it came.
            names: also of those that only sentences give away; else only whose form does.

        Raises:
            SecretBlocked: it has a secret in it that may leave for nobody.
            GuardUnavailable: nobody could look.
        """
        entities = _entities(await self._scanner.secrets(request.texts))
        named = await self._in_names(request.names)
        blocked = [
            secret
            for secret in sorted((entities | named) & SECRETS)
            if self._policy.always_blocks(request.tenant, secret)
        ]
        if blocked:
            raise _secret(blocked)
        if entities or named:
            request = replace(request, entities=entities, named=named)
        return replace(request, entities=await self._named(request)) if names else request

    async def _in_names(self, names: Sequence[str]) -> frozenset[str]:
        """The kinds of data that hide in keys, ids and words of the protocol."""
        if not names:
            return frozenset()
        found = await self._scanner.secrets(Text(name, "", Kind.KEY, ()) for name in names)
        plain = {name: spans for name, spans in found.items() if is_spelled_out(name)}
        return _entities(plain) | (_entities(found) & (SECRETS | IN_IDS))

    async def _named(self, request: Request) -> frozenset[str]:
        """The kinds of data in a request, names included. Raises ``GuardUnavailable``."""
        return request.entities | _entities(await self._scanner.find(request.texts, names=True))

    async def permitted(self, request: Request, decision: Decision) -> Decision:
        """The decision without the targets to which something in the request may not go.

        Raises:
            SecretBlocked: a secret is what leaves nobody.
            GuardUnavailable: nobody could look.
        """
        towards = [
            (option, self._policy.towards(request.tenant, option)) for option in decision.options
        ]
        entities = request.entities
        allowed = [actions for option, actions in towards if option.allowed]
        if any(actions.blocked(self._scanner.of_names) for actions in allowed):
            entities = await self._named(request)
        withheld = {
            option.target: blocked
            for option, actions in towards
            if option.allowed and (blocked := _kept_from(actions, entities, request.named))
        }
        if not withheld:
            return self._with_shadow(request, decision, entities)
        options = tuple(_without(option, withheld, request.named) for option in decision.options)
        left = tuple(option for option in options if option.allowed)
        told = {entity for each in withheld.values() for entity in each}
        if not left and told <= SECRETS:
            raise _secret(sorted(told))
        out = tuple(option for option in options if not option.allowed)
        decision = replace(decision, options=left + out)
        return self._with_shadow(request, decision, entities)

    def _with_shadow(
        self, request: Request, decision: Decision, entities: frozenset[str]
    ) -> Decision:
        shadow = decision.shadow
        if shadow is None or not _kept_from(
            self._towards(request, shadow), entities, request.named
        ):
            return decision
        return replace(decision, shadow=None)

    def _towards(self, request: Request, option: Option) -> Actions:
        return self._policy.towards(request.tenant, option)

    async def shown(self, request: Request, option: Option, body: dict[str, Any]) -> dict[str, Any]:
        """What a model may see that is asked about a request, and does not answer it.

        Args:
            request: what is asked about.
            option: the model, as a target.
            body: the question.

        Raises:
            GuardUnavailable: something in it may not go there, or nobody could look.
        """
        actions = self._towards(request, option)
        names = actions.change(self._scanner.of_names)
        found = await self._scanner.find(survey(body).texts, names=names)
        blocked = actions.blocked(_entities(found))
        if blocked:
            told = ", ".join(sorted(blocked))
            raise GuardUnavailable(f"{option.target} has to be asked, and may not see {told}.")
        return await self.guard(request).outgoing(option, body)

    async def kept(self, value: Any) -> Any:
        """A text, or JSON, as it may be kept: what it is stands for each value.

        For what outlives its request: feedback, captured exchanges. Raises ``GuardUnavailable``.
        """
        found = survey({"content": value}).texts
        new = await self._replaced(found, self._policy.kept)
        changes = {text.path: changed for text, changed in zip(found, new, strict=True)}
        return replace_texts({"content": value}, changes)["content"]

    async def learned_from(self, value: Any, persons: Iterable[str] = ()) -> Any:
        """A text, or JSON, as it may be kept to learn from: equal values, equal placeholders.

        Args:
            value: of one exchange, all of it at once.
            persons: the names of those whose data it carries; they are no words to learn.

        Raises ``GuardUnavailable``.
        """
        found = survey({"content": value}).texts
        new = await self._replaced(found, self._policy.learned_from)
        changes = {
            text.path: unnamed(changed, persons) for text, changed in zip(found, new, strict=True)
        }
        return replace_texts({"content": value}, changes)["content"]

    async def _replaced(self, texts: Sequence[Text], actions: Actions) -> list[str]:
        # Whatever they are, they are kept as texts: also what no target would be shown as one.
        found = [text._replace(kind=Kind.TEXT) for text in texts]
        said = [text.text for text in found]
        names = actions.change(self._scanner.of_names)
        replacing = Replacing(actions, Vault(said), self._digest)
        replacing.learn(found, await self._scanner.find(found, names=names))
        return [replacing.text(text) for text in said]

    def guard(self, request: Request) -> Guard:
        """What stands between a request and its targets."""
        return Guard(request, self._policy, self._scanner, self._digest, self.conversations)


def unnamed(text: str, persons: Iterable[str]) -> str:
    """A text without these names, wherever they stand as words of their own."""
    for name in sorted(persons, key=len, reverse=True):
        if len(name) >= _SHORTEST_NAME:
            pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
            text = re.sub(pattern, _SUBJECT, text, flags=re.IGNORECASE)
    return text


def _entities(found: Found) -> frozenset[str]:
    return frozenset(span.entity for spans in found.values() for span in spans)


def _kept_from(actions: Actions, entities: Iterable[str], named: Iterable[str]) -> list[str]:
    """For whose sake the target may not be asked: what is blocked, and what must not go as it is
    and stands where nothing can be put in its place.
    """
    fixed = [entity for entity in named if actions.change([entity])]
    return sorted({*actions.blocked(entities), *fixed})


def _without(option: Option, withheld: dict[str, list[str]], named: frozenset[str]) -> Option:
    blocked = withheld.get(option.target)
    if blocked is None:
        return option
    where = "a key, an id or another name of the request" if {*blocked} <= named else "the request"
    reason = f"{', '.join(sorted(blocked))} in {where} may not go there (governance.pii)"
    return replace(option, allowed=False, rank=None, code=WITHHELD, reason=reason)


def _secret(found: list[str]) -> SecretBlocked:
    return SecretBlocked(
        f"The request has a secret in it ({', '.join(found)}), which may not leave. Remove it, and "
        "replace it where it is in use: whatever it was sent to may have kept it."
    )
