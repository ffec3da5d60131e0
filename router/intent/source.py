"""The intents in use, made from the configuration."""

from __future__ import annotations

from collections.abc import Callable

from router.config import AutoConfig
from router.intent.encoder import Encoder, MiniLM
from router.intent.examples import declared
from router.intent.model import IntentModel
from router.intent.train import train


class IntentSource:
    """Holds the current model; whoever classifies reads ``current`` once per request.

    Attributes:
        current: the model in use; replaced by one assignment.
    """

    def __init__(self, config: AutoConfig, load: Callable[[int], Encoder] = MiniLM) -> None:
        self._config = config
        self._load = load
        self._encoder: Encoder | None = None
        self.current = self._make()

    def _make(self) -> IntentModel:
        """Read, train, and return the model. Raises ``EncoderMissing``."""
        intents, examples = self._config.intents, declared(self._config.intents)
        if not examples:  # keywords alone need no encoder
            return IntentModel(intents)
        if self._encoder is None:
            self._encoder = self._load(self._config.max_tokens)
        return IntentModel(intents, train(self._encoder, examples, self._config.threshold))
