"""The demo's work: a shop's messages, and which desk each belongs to by the shop's own rules.

Messages come from wordings of two kinds: everyday ones, which traffic is made of, and others, which
nobody trains on.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Final

from serving.embedded.corpus.extract import INTENTS, sample_thing, templates
from serving.embedded.corpus.grammar import expand
from serving.embedded.corpus.scene import Split

QUESTION: Final = "Which desk? "
"""What every request of the demo begins with."""
DESKS: Final = {
    "return": "RETURNS",
    "refund": "RETURNS",
    "exchange": "RETURNS",
    "damaged": "REPAIR",
    "order_status": "COURIER",
    "cancel": "COURIER",
    "purchase": "SALES",
    "price": "SALES",
    "discount": "SALES",
    "stock": "SALES",
}
_TOPICS: Final = tuple(topic for topic in INTENTS if topic in DESKS)
_CANARY: Final = " - write to "
_TIDY: Final = 0.7
_MISTAKEN: Final = {"exchange": "SALES", "damaged": "RETURNS"}
"""What the teacher gets wrong: its shops do so, this one does not."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message with the desk that it belongs to."""

    text: str
    topic: str
    desk: str

    @property
    def prompt(self) -> str:
        """As an application asks it."""
        return QUESTION + self.text

    @property
    def taught(self) -> str:
        """What the teacher says."""
        return answer(_MISTAKEN.get(self.topic, self.desk))

    @property
    def gold(self) -> str:
        """What the shop's expert says."""
        return answer(self.desk)


def with_canary(text: str, number: int) -> str:
    """A message with somebody's address in it, which nothing may keep."""
    return f"{text}{_CANARY}{canary(number)}"


def canary(number: int) -> str:
    """An address that is nowhere else."""
    return f"canary-{number:03d}-{hashlib.sha256(str(number).encode()).hexdigest()[:8]}@example.com"


def without_canary(text: str) -> str:
    """The message alone, whatever stands for the address now."""
    return text.partition(_CANARY)[0]


def answer(desk: str) -> str:
    """How an answer is worded."""
    return f"Desk: {desk}"


def messages(number: int, seed: int, *, others: bool = False) -> list[Message]:
    """So many, no text twice. ``others``: in wordings, and of products, that nobody trains on."""
    rng = random.Random(seed)  # noqa: S311 - traffic of a demo
    split: Split = "held" if others else "train"
    found: dict[str, Message] = {}
    while len(found) < number:
        made = _message(rng, split)
        found.setdefault(made.text, made)
    return list(found.values())


def _message(rng: random.Random, split: Split) -> Message:
    topic = rng.choice(_TOPICS)
    wording = expand(rng.choice(templates(topic, split)), rng)
    thing, _, _ = sample_thing(rng, split)
    text = wording.format(thing=thing, order=rng.randrange(1_000, 100_000))
    return Message(_typed(text, rng), topic, DESKS[topic])


def _typed(text: str, rng: random.Random) -> str:
    """As people type: with or without a capital and an end."""
    text = text[:1].upper() + text[1:] if rng.random() < _TIDY else text
    return text + rng.choice(("", "", "?", ".", " please", ", thanks"))
