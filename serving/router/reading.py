"""How one router reads texts: for their intents and their difficulty, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading

from prometheus_client import CollectorRegistry

from adapters.aliases import RoutingTable
from adapters.jobs.periodic import Every, PeriodicJobs
from router.account.gauges import Gauges
from router.choose.difficulty_source import DifficultySource
from router.choose.gauges import difficulty_readings
from router.embed.layers import Layers
from router.embed.threads import Threads
from router.intent.encoder import Encoder, SentenceEncoder
from router.intent.metrics import IntentMetrics
from router.intent.source import IntentSource
from router.intent.stage import IntentStage
from serving.config.settings import Settings
from serving.router.rules import RegistryRules

_LONGEST_TRAINING_S = 600.0
_MODEL = Every(None, retry_s=1.0, max_retry_s=60.0)
"""The model of difficulty is fetched when the table names another one."""


class Reading:
    """What one router learns of a text, wired together.

    Args:
        settings: of the process.
        layers: what makes a meaning of texts, for all who read them.
        rules: gets what the routing table names.
        registry: of metrics.

    Attributes:
        intents: what is asked.
        difficulty: how hard it is.
    """

    def __init__(
        self,
        settings: Settings,
        layers: Layers,
        rules: RegistryRules,
        registry: CollectorRegistry,
    ) -> None:
        """Read and train. Raises ``EncoderMissing`` or ``IntentsInvalid``."""
        config = settings.router
        self._layers = layers
        self._encoder: Encoder | None = None
        self._making = threading.Lock()
        self._threads = Threads.of_requests("reading", config.limits.max_concurrent_requests)
        self._poll_s = config.auto.intents_poll_s
        self._source = IntentSource(
            config.auto,
            self._encoder_of,
            cache=settings.state_dir / "intents",
            fetch=rules.intents,
        )
        self.intents = IntentStage(self._source, self._threads)
        self.difficulty = DifficultySource(
            config.auto.max_tokens,
            rules.difficulty,
            self._threads,
            self._encoder_of,
            per_request=config.routing.quality.per_request,
        )
        IntentMetrics(registry, self._source)
        registry.register(Gauges(difficulty_readings(self.difficulty)))
        registry.register(self._gauges())

    def _encoder_of(self, max_tokens: int) -> Encoder:
        """One for both, which read as much of a text. Raises ``EncoderMissing``."""
        with self._making:
            if self._encoder is None:
                self._encoder = SentenceEncoder(max_tokens, layers=self._layers)
            return self._encoder

    def _gauges(self) -> Gauges:
        return Gauges(
            {
                "graftwork_reading_waiting": (
                    "Texts that are read for intent or difficulty, or wait for it; at most 64 and "
                    "twice as many as requests are admitted.",
                    lambda: self._threads.busy,
                ),
                "graftwork_reading_vectors": (
                    "Meanings of texts that are remembered for whoever asks next; at most 2048.",
                    lambda: self._layers.remembered,
                ),
            }
        )

    def heard(self, table: RoutingTable) -> None:
        """Take what a routing table says of made intents and of difficulty."""
        self._source.heard(table)
        self.difficulty.heard(table)

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Keep both fresh."""
        poll_s = self._poll_s if self._source.watched else None
        every = Every(poll_s, limit_s=_LONGEST_TRAINING_S, retry_s=0.2, max_retry_s=30.0)
        self._source.wake = jobs.add("intents", self._source.refresh, every).wake
        self.difficulty.wake = jobs.add("difficulty", self.difficulty.refresh, _MODEL).wake

    async def aclose(self) -> None:
        """Wait for what is being read."""
        await asyncio.to_thread(self._threads.close)
