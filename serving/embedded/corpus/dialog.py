"""The conversation record that every generator returns."""

from dataclasses import dataclass, field
from typing import Any, Final

from serving.embedded.corpus.topic import Exchange

Message = dict[str, Any]

SYSTEM_PROMPTS: Final = (
    "You are a helpful assistant.",
    "You are the support assistant of Graftwork Store.",
    "You are a friendly shop assistant. Answer briefly.",
    "Answer the customer in one or two sentences.",
    "Be polite and concise.",
    "You are a retail support agent.",
    "You help customers of an online shop.",
)


@dataclass
class Dialog:
    """Messages in order, the tools on offer, and the exchanges that an evaluation checks."""

    messages: list[Message] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    def say(self, role: str, content: str) -> None:
        """Append one message."""
        self.messages.append({"role": role, "content": content})

    def add(self, exchange: Exchange) -> None:
        """Append a question with its answer."""
        self.say("user", exchange.question)
        self.say("assistant", exchange.answer)
        self.exchanges.append(exchange)
