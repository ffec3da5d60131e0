"""Topics that are off limits on some routes: by whole words, or by likeness to examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final

import numpy as np

from router.config.safety import TopicConfig
from router.embed.encoder import BgeSmall, Encoder
from router.embed.layers import Vector
from router.embed.threads import Busy, Threads
from router.embed.weights import ModelMissing
from router.errors import GuardUnavailable
from router.wire.characters import normalised

MAX_CHARS: Final = 4_000
"""Of a text, how much is compared with examples: its end, where the question is."""


class Topic:
    """One topic.

    Args:
        config: how it is recognised, and where it is off limits.
    """

    def __init__(self, config: TopicConfig) -> None:
        self.config = config
        words = "|".join(re.escape(word.strip().lower()) for word in config.words if word.strip())
        self._words = re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None

    def is_off_limits(self, route: str) -> bool:
        """Whether it may not be talked about on this route."""
        return any(fnmatchcase(route, glob) for glob in self.config.routes)

    def has_words_in(self, text: str) -> bool:
        """Whether the text, in lower case, has one of its words."""
        return self._words is not None and self._words.search(text) is not None


class Topics:
    """All topics of the configuration.

    Args:
        configs: the topics.
        threads: where texts become vectors.
        encoder: makes them.
    """

    def __init__(
        self, configs: Sequence[TopicConfig], threads: Threads, encoder: Encoder | None = None
    ) -> None:
        self._topics = [Topic(config) for config in configs]
        self._threads = threads
        self._encoder = encoder or BgeSmall()

    async def about(self, texts: Sequence[str], route: str) -> TopicConfig | None:
        """The first topic of these texts that is off limits on a route.

        Raises ``GuardUnavailable`` when likeness cannot be told.
        """
        topics = [topic for topic in self._topics if topic.is_off_limits(route)]
        if not topics or not texts:
            return None
        plain = [normalised(text).text for text in texts]
        lower = [text.lower() for text in plain]
        for topic in topics:
            if any(map(topic.has_words_in, lower)):
                return topic.config
        if not any(topic.config.examples for topic in topics):
            return None
        return await self._run(lambda: self._like(plain, topics))

    def _like(self, texts: Sequence[str], topics: Sequence[Topic]) -> TopicConfig | None:
        vectors = self._encoder.encode([text[-MAX_CHARS:] for text in texts])
        for topic in topics:
            examples = self._examples.get(topic.config.name)
            if examples is None:
                continue
            if float(np.max(vectors @ examples.T)) >= topic.config.likeness:
                return topic.config
        return None

    @cached_property
    def _examples(self) -> dict[str, Vector]:
        return {
            topic.config.name: self._encoder.encode(topic.config.examples)
            for topic in self._topics
            if topic.config.examples
        }

    async def _run(self, what: Callable[[], TopicConfig | None]) -> TopicConfig | None:
        try:
            return await self._threads.run(what)
        except Busy as error:
            raise GuardUnavailable(
                "More requests wait for the safety checks than they get through."
            ) from error
        except ModelMissing as error:
            raise GuardUnavailable(f"The topics' encoder is missing: {error}") from error
