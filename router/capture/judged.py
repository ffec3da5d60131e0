"""What a judgement of an answer means for keeping its exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from adapters.corpus.merging import DEMONSTRATIONS
from adapters.corpus.tools import CALLS
from adapters.corpus.worth import DEMONSTRATION
from router.audit.feedback import Feedback
from router.capture.captures import Captures
from router.capture.signals import of_feedback
from router.request import Caller

_MAX_COMMENT: Final = 4000


class Judgements:
    """Told of every judgement after it is durable."""

    def __init__(self, captures: Captures) -> None:
        self._captures = captures

    def hear(self, given: Feedback, record: Mapping[str, Any], caller: Caller) -> None:
        """A judgement of the answer that a decision record is about.

        A bad one has the exchange kept, and what should have been answered is kept with it, if its
        tenant consents and whoever asked did not say no.
        """
        features = record.get("features")
        if features is None:
            return  # the decision was erased: nothing about it is kept any more
        consent = self._captures.consent.of(str(record.get("tenant")), is_local=caller.is_local)
        if not consent.consent or features.get("no_capture"):
            return
        signs: dict[str, str] = {}
        details: dict[str, Any] = {}
        bad = of_feedback(given.kind, given.value)
        if bad is not None:
            signs[bad.value] = f"{given.kind} feedback"
        elif given.kind == "demonstration":
            signs[DEMONSTRATION] = "somebody said what should have been answered"
            shown = {"answer": said(given.value), "by": caller.name}
            details[DEMONSTRATIONS] = [shown]
        elif given.kind == "comment":
            details["comments"] = [str(given.value)[:_MAX_COMMENT]]
        if signs or details:
            self._captures.tell(given.decision_id, signs, details)


def said(value: Any) -> str:
    """The text of a demonstration: as it is, of a message or of the last of several.

    Of one that calls tools it is the calls, which decide.
    """
    last = value[-1] if isinstance(value, list) and value else value
    if isinstance(last, dict) and last.get(CALLS):
        return orjson.dumps(last[CALLS]).decode()
    content = last.get("content") if isinstance(last, dict) else last
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else orjson.dumps(value).decode()
