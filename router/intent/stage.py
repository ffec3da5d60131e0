"""What is asked: a pin by the client, else keyword rules, else the trained model.

A pin is the header ``x-graftwork-intent``, the body's ``graftwork.intent``, or a string
``metadata.intent``, in this order. Only ``model: auto`` needs an intent: who names a model gets it,
and nobody's words are read for it, unless a policy rule is about intents.
"""

from __future__ import annotations

from adapters.aliases import RoutingTable
from router.errors import InvalidRequest
from router.intent.source import IntentSource
from router.intent.view import reading
from router.request import AUTO, NOT_READ, Intent, Request

HEADER = "x-graftwork-intent"


class IntentStage:
    """Recognises what is asked."""

    def __init__(self, source: IntentSource) -> None:
        self._source = source

    def classify(
        self, request: Request, table: RoutingTable, *, always: bool = False, trusted: bool = True
    ) -> Intent:
        """The intent, for ``auto`` or ``always``.

        Args:
            request: what is asked.
            table: which intents live versions declare.
            always: rules are about intents: what the text says is read also beside a pin.
            trusted: a pin by this client counts.

        Raises ``InvalidRequest`` for a pin that nobody declares.
        """
        if request.model != AUTO and not always:
            return NOT_READ
        model = self._source.current
        pin = _pinned(request) if trusted else None
        if pin is not None:
            known = model.names | _claimed(table)
            if pin not in known:
                raise InvalidRequest(
                    f"The pinned intent {pin!r} is not declared; known: {sorted(known)}. Name one "
                    f"of them, or leave out {HEADER}, 'graftwork.intent' and 'metadata.intent'.",
                    code="unknown_intent",
                    param="graftwork.intent",
                )
            found = self._read(request) if always else NOT_READ
            also = () if found.name in (None, pin) else (str(found.name),)
            return Intent(pin, 1.0, model.alias(pin), source="pinned", also=also)
        return self._read(request)

    def recognised(self, request: Request) -> Intent:
        """What the text is about, whatever model the client named. Takes milliseconds."""
        return self._read(request)

    def _read(self, request: Request) -> Intent:
        model = self._source.current
        return model.classify(request.text, reading(request)) if request.text else NOT_READ


def _pinned(request: Request) -> str | None:
    if request.hints.intent is not None:
        return request.hints.intent
    metadata = request.body.get("metadata")
    value = metadata.get("intent") if isinstance(metadata, dict) else None
    return value if isinstance(value, str) and value else None


def _claimed(table: RoutingTable) -> set[str]:
    """The intents that live versions declare in their manifests."""
    aliases = table.aliases.values()
    return {intent for alias in aliases if alias.live for intent in alias.intents}
