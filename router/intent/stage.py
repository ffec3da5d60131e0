"""What is asked: a pin by the client, else keyword rules, else the trained model.

A pin is the header ``x-graftwork-intent``, the body's ``graftwork.intent``, or a string
``metadata.intent``, in this order. Only ``model: auto`` needs an intent: who names a model gets it,
and nobody's words are read for it, unless a policy rule is about intents.
"""

from __future__ import annotations

from router.errors import InvalidRequest
from router.intent.source import IntentSource
from router.intent.view import reading
from router.request import AUTO, Exchange, Intent

HEADER = "x-graftwork-intent"


class IntentStage:
    """Sets the exchange's intent."""

    def __init__(self, source: IntentSource) -> None:
        self._source = source

    def classify(self, exchange: Exchange, *, always: bool = False) -> None:
        """Set the exchange's intent, for ``auto`` or ``always``.

        Raises ``InvalidRequest`` for a pin that nobody declares.
        """
        if exchange.model != AUTO and not always:
            return
        model = self._source.current
        pin = _pinned(exchange)
        if pin is not None:
            known = model.names | _claimed(exchange)
            if pin not in known:
                raise InvalidRequest(
                    f"The pinned intent {pin!r} is not declared; known: {sorted(known)}. Name one "
                    f"of them, or leave out {HEADER}, 'graftwork.intent' and 'metadata.intent'.",
                    code="unknown_intent",
                    param="graftwork.intent",
                )
            exchange.intent = Intent(pin, 1.0, model.alias(pin), source="pinned")
        elif exchange.text:
            exchange.intent = model.classify(exchange.text, reading(exchange))


def _pinned(exchange: Exchange) -> str | None:
    if exchange.hints.intent is not None:
        return exchange.hints.intent
    metadata = exchange.body.get("metadata")
    value = metadata.get("intent") if isinstance(metadata, dict) else None
    return value if isinstance(value, str) and value else None


def _claimed(exchange: Exchange) -> set[str]:
    """The intents that live versions declare in their manifests."""
    aliases = exchange.table.aliases.values()
    return {intent for alias in aliases if alias.live for intent in alias.intents}
