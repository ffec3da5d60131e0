"""What one request may send to whom, and what comes back: one guard a request, for all targets.

First calls, retries, hedges, escalations, shadows and continuations get their bodies here, each by
the rules of its own target (law 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from router.errors import GuardUnavailable, InvalidRequest
from router.govern.actions import Actions, PiiPolicy
from router.govern.scan import Scanner
from router.govern.seams import runs
from router.govern.vault.conversations import Conversations, Key
from router.govern.vault.replacing import Digest, Replacing
from router.govern.vault.restoring import Answer, RestoredAnswer, Restoring
from router.govern.vault.vault import Vault
from router.request import Option, Request
from router.wire.kinds import Kind
from router.wire.texts import Survey, Text, survey

_IN_A_THREAD_CHARS: Final = 20_000
_JSON_FORMATS: Final = frozenset({"json_object", "json_schema"})


class _Sent:
    """What a target was sent."""

    __slots__ = ("key", "replacing", "vault")

    def __init__(self, vault: Vault, replacing: Replacing, key: Key | None) -> None:
        self.vault = vault
        self.replacing = replacing
        self.key = key


class Guard:
    """Between one request and its targets.

    Args:
        request: what was asked.
        policy: what may leave for whom.
        scanner: looks for it.
        digest: makes hashes.
        conversations: what placeholders stood for earlier.
    """

    def __init__(
        self,
        request: Request,
        policy: PiiPolicy,
        scanner: Scanner,
        digest: Digest,
        conversations: Conversations,
    ) -> None:
        self._request = request
        self._policy = policy
        self._scanner = scanner
        self._digest = digest
        self._conversations = conversations
        self._sent: dict[str, _Sent] = {}

    async def outgoing(self, option: Option, body: dict[str, Any]) -> dict[str, Any]:
        """The body as this target may see it.

        Raises:
            GuardUnavailable: it cannot be told what must not leave.
            InvalidRequest: it is given as numbers, in which nobody can look.
        """
        actions = self._policy.towards(self._request.tenant, option)
        # A hedge of the same target may be under way: what it was sent stays until it is replaced.
        if not actions.changes_personal:
            return await self._without_secrets(option, actions, body)
        found = self._surveyed(body)
        if found.token_ids:
            raise InvalidRequest(
                f"{option.target} may not see personal data, and nobody can look for it in a "
                "prompt that is given as token ids: send text.",
                code="unsupported_capability",
            )
        return await self._replaced(option, actions, body, found)

    def _surveyed(self, body: dict[str, Any]) -> Survey:
        """What there is to know of it: a body in the client's own words was looked at before."""
        seen = self._request.surveyed
        if seen and all(n == "model" or seen.get(n) is value for n, value in body.items()):
            return Survey(list(self._request.texts))
        return survey(body)

    async def _without_secrets(
        self, option: Option, actions: Actions, body: dict[str, Any]
    ) -> dict[str, Any]:
        """For a target that may see everything but secrets: those of the client were looked for."""
        asked = self._request.body
        if all(asked.get(name) is value for name, value in body.items() if name != "model"):
            self._sent.pop(option.target, None)
            return body
        found = survey(body)
        own = {text.text for text in self._request.texts}
        more = [text for text in found.texts if text.text not in own]
        spans = await self._scanner.secrets(more)
        if not any(actions.change(span.entity for span in each) for each in spans.values()):
            self._sent.pop(option.target, None)
            return body
        return await self._replaced(option, actions, body, found)

    async def _replaced(
        self, option: Option, actions: Actions, body: dict[str, Any], survey_: Survey
    ) -> dict[str, Any]:
        own, texts = self._request.texts, survey_.texts
        both = (*own, *texts)
        found = await self._scanner.find(both, names=actions.change(self._scanner.of_names))
        key = self._key(option)
        before = self._conversations.recall(key) if key is not None else {}
        # Also what a model reads as one: a client may type a placeholder over two parts.
        typed = [text.text for text in both] + [run.text for run in runs(both)]
        vault = Vault(typed, before)
        replacing = Replacing(actions, vault, self._digest)

        def replaced() -> dict[str, Any]:
            # The client's first: what is stitched in differs from turn to turn.
            replacing.learn(both, found)
            return replacing.body(body, texts)

        is_long = sum(len(text.text) for text in texts) > _IN_A_THREAD_CHARS
        changed = await asyncio.to_thread(replaced) if is_long else replaced()
        self._sent[option.target] = _Sent(vault, replacing, key)
        if key is not None and vault:
            self._conversations.remember(key, vault.entries, self._request.subjects)
        return changed

    async def begun(self, option: Option, said: str) -> str:
        """What the assistant said so far, for who is to go on from there. Raises as ``outgoing``.

        ``outgoing`` was called for this target before.
        """
        sent = self._sent.get(option.target)
        if sent is None or not said:
            return said
        text = Text(said, "assistant", Kind.TEXT, ())
        actions = self._policy.towards(self._request.tenant, option)
        found = await self._scanner.find([text], names=actions.change(self._scanner.of_names))
        sent.replacing.learn([text], found)
        if sent.vault.is_cut(said):
            raise GuardUnavailable("The answer broke inside a value that must not leave.")
        return sent.replacing.text(said)

    def incoming(self, option: Option, answer: Answer) -> Answer:
        """The answer of a target, with values where placeholders stood."""
        sent = self._sent.get(option.target)
        if sent is None or not sent.vault:
            return answer
        body = self._request.body
        restoring = Restoring(sent.vault, is_json=_asks_for_json(body), hears=self._hears(sent))
        return RestoredAnswer(answer, restoring, sent.vault.restored)

    def restored(self, option: Option, text: str) -> str:
        """What a target said otherwise, in an error."""
        sent = self._sent.get(option.target)
        return text if sent is None else sent.vault.restored(text)

    def redactions(self, option: Option) -> Mapping[tuple[str, str], int]:
        """What was replaced in what a target was sent."""
        sent = self._sent.get(option.target)
        return {} if sent is None else sent.replacing.redactions

    def _key(self, option: Option) -> Key | None:
        """Names the conversation, where the provider keeps it or the client says which it is."""
        request = self._request
        if option.is_local:
            return None
        for kind, told in (
            ("response", request.body.get("previous_response_id")),
            ("conversation", request.body.get("conversation")),
            ("session", request.hints.session),
        ):
            found = told.get("id") if isinstance(told, dict) else told
            if isinstance(found, str) and found:
                return self._named(kind, found)
        return None

    def _named(self, kind: str, name: str) -> Key:
        caller = self._request.caller
        return self._request.tenant, caller.name if caller else "", kind, name

    def _hears(self, sent: _Sent) -> Any:
        """Told the id under which a provider keeps a response."""

        def hears(response_id: str) -> None:
            key = self._named("response", response_id)
            self._conversations.remember(key, sent.vault.entries, self._request.subjects)

        return hears


def _asks_for_json(body: Mapping[str, Any]) -> bool:
    text = body.get("text")
    wanted: Sequence[Any] = (
        body.get("response_format"),
        text.get("format") if isinstance(text, dict) else None,
    )
    return any(isinstance(each, dict) and each.get("type") in _JSON_FORMATS for each in wanted)
