"""What is asked: a pin by the client, else keyword rules, else the trained model.

A pin is the header ``x-graftwork-intent``, the body's ``graftwork.intent``, or a string
``metadata.intent``, in this order. Only where ``auto`` chooses an intent is needed: who names a
model gets it, and nobody's words are read for it, unless a policy rule is about intents.

What a keyword or memory does not tell at once is read in a thread: the milliseconds of the encoder
are nobody else's.
"""

from __future__ import annotations

from adapters.aliases import RoutingTable
from router.embed.threads import Busy, Threads
from router.errors import InvalidRequest, Overloaded
from router.intent.source import IntentSource
from router.intent.view import reading
from router.request import NOT_READ, Intent, Request

HEADER = "x-graftwork-intent"


class IntentStage:
    """Recognises what is asked.

    Args:
        source: the model in use.
        threads: one thread, in which texts are read.
    """

    def __init__(self, source: IntentSource, threads: Threads) -> None:
        self._source = source
        self._threads = threads

    async def classify(
        self,
        request: Request,
        table: RoutingTable,
        *,
        chooses: bool,
        always: bool = False,
        trusted: bool = True,
    ) -> Intent:
        """The intent, if somebody ``chooses`` by it or ``always``.

        Args:
            request: what is asked.
            table: which intents live versions declare.
            chooses: ``auto`` decides who answers.
            always: rules are about intents: what the text says is read also beside a pin.
            trusted: a pin by this client counts.

        Raises ``InvalidRequest`` for a pin that nobody declares, and ``Overloaded``.
        """
        if not chooses and not always:
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
            found = await self._read(request) if always else NOT_READ
            also = () if found.name in (None, pin) else (str(found.name),)
            return Intent(pin, 1.0, model.alias(pin), source="pinned", also=also)
        return await self._read(request)

    async def recognised(self, request: Request) -> Intent:
        """What the text is about, whatever model the client named. Raises ``Overloaded``."""
        return await self._read(request)

    async def _read(self, request: Request) -> Intent:
        if not request.text:
            return NOT_READ
        model, view = self._source.current, reading(request)
        known = model.at_once(request.text, view)
        if known is not None:
            return known
        try:
            read = await self._threads.run(lambda: model.read(view))
        except Busy as error:
            raise Overloaded(
                "More texts wait to be read for their intent than are read; ask again in a moment.",
                retry_after_s=1.0,
            ) from error
        return model.learned(view, read)


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
