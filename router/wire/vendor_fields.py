"""Fields of chat that a vendor's OpenAI-compatible API does not take, or by another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from router.wire.translate.signatures import without_signatures
from router.wire.translate.vocabulary import unsupported

Body = dict[str, Any]
_SAY_NOTHING: Final = frozenset(
    {
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "stream_options",
        "user",
    }
)
"""Fields without which the answer is the same."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What has to become of a chat request's fields.

    Attributes:
        takes: those that are taken; None: all.
        leaves_out: those that are not; ``messages.name`` is one of each message, and
            ``messages.extra_content`` also of its calls of tools.
        renames: other names.
        one_answer: ``n`` must be 1.
    """

    takes: frozenset[str] | None = None
    leaves_out: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=dict)
    one_answer: bool = False

    def fitted(self, body: Body) -> tuple[Body, tuple[str, ...]]:
        """The body that the vendor takes, and what it lacks; ``body`` is left as it is.

        Raises:
            InvalidRequest: several answers are asked for, and it gives one.
        """
        if self.one_answer and body.get("n") not in (None, 1):
            raise unsupported("n", "must be 1 for this model")
        found: Body = {}
        lost: list[str] = []
        for name, value in body.items():
            theirs = self.renames.get(name, name)
            if name in self.leaves_out or (self.takes is not None and theirs not in self.takes):
                if value is not None and name not in _SAY_NOTHING:
                    lost.append(name)
            else:
                found[theirs] = value
        if "messages.name" in self.leaves_out and _has_names(found.get("messages")):
            found["messages"] = [_without_name(each) for each in found["messages"]]
            lost.append("messages.name")
        if "messages.extra_content" in self.leaves_out and "messages" in found:
            found["messages"] = without_signatures(found["messages"])
        return found, tuple(lost)


AS_THEY_ARE: Final = Fields()


def _has_names(messages: object) -> bool:
    return isinstance(messages, list) and any(
        isinstance(each, dict) and "name" in each for each in messages
    )


def _without_name(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    return {name: value for name, value in message.items() if name != "name"}
