"""The context stage of one router: the index that the registry writes, and targets' tokenizers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from adapters.aliases import Peer
from router.account.gauges import Reading
from router.context.documents.model import IndexUnavailable, Passage
from router.context.documents.opening import open_index
from router.context.retrieve import Question, Retrieved, Retriever
from router.context.stage import ContextStage, UntrustedCheck
from router.context.tokens import Counter, local_counter
from router.embed.cross import CrossEncoder
from router.embed.encoder import Encoder
from router.embed.threads import Threads
from router.exchange import Exchange
from router.request import Option
from router.targets.directory import Catalog
from serving.config.settings import EMBEDDED, SMOLLM2, BaseSettings, Settings
from serving.embedded import BASE_DIR
from serving.internal.client import InternalClient, Unanswered
from serving.internal.paths import PASSAGES
from serving.smollm2 import prepared as smollm2

_TOKENIZER = "tokenizer.json"
_TIMEOUT_S = 30.0
"""For the registry; the stage's own limit is shorter."""


class Context:
    """What one router needs to stitch context.

    Args:
        settings: of the process.
        catalog: its targets.
        registry: where the registry is; None while nobody knows.
        check: looks at passages before a model does.
        encoder: what texts mean.

    Attributes:
        stage: of its pipeline.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        registry: Callable[[], Peer | None],
        check: UntrustedCheck,
        encoder: Encoder,
    ) -> None:
        config = settings.router.context
        self._fitting = Threads.of_requests(
            "fitting", settings.router.limits.max_concurrent_requests
        )
        self._documents = Documents(settings, registry, encoder)
        tokenizer = _Tokenizer(settings.base)

        def window(exchange: Exchange, option: Option) -> int | None:
            if option.is_local:
                return exchange.decision.table.max_model_len
            return catalog.frontier(option).card.context_window

        def counter(option: Option) -> Counter | None:
            return tokenizer.counter() if option.is_local else None

        self.stage = ContextStage(config, self._documents, self._fitting, counter, window, check)

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        return {
            "graftwork_context_vectors": (
                "Vectors of chunks that this router holds in memory.",
                lambda: self._documents.held,
            ),
            "graftwork_context_searches": (
                "Searches in documents under way or waiting.",
                lambda: self._documents.waiting,
            ),
        }

    async def aclose(self) -> None:
        """Wait for what is under way, and give connections back."""
        await self._documents.aclose()
        await asyncio.to_thread(self._fitting.close)


class Documents:
    """The index where this machine has it, or a database is named; else the registry is asked.

    Args:
        settings: of the process.
        registry: where the registry is; None while nobody knows.
        encoder: what texts mean.
    """

    def __init__(
        self, settings: Settings, registry: Callable[[], Peer | None], encoder: Encoder
    ) -> None:
        url = settings.documents.url
        _, self._file = settings.documents_here()
        self._has_url = url is not None
        self._index = open_index(url, self._file, encoder.width, writes=False)
        self._retriever = Retriever(
            self._index,
            encoder,
            CrossEncoder(),
            Threads.of_requests("context", settings.router.limits.max_concurrent_requests),
            settings.router.context.grants,
        )
        self._registry = registry
        self._client = InternalClient()

    @property
    def held(self) -> int:
        """Vectors in this process's memory."""
        return self._index.held

    @property
    def waiting(self) -> int:
        """Searches under way or waiting."""
        return self._retriever.waiting

    @property
    def _is_here(self) -> bool:
        return self._has_url or self._file.exists()

    async def prepare(self) -> None:
        """Load the models where this process needs them. Raises ``ModelMissing`` and ``Busy``."""
        if self._is_here:
            await self._retriever.prepare()

    async def retrieve(self, question: Question) -> Retrieved:
        """The passages. Raises ``IndexUnavailable``, ``ModelMissing`` and ``Busy``."""
        if self._is_here:
            return await self._retriever.retrieve(question)
        registry = self._registry()
        if registry is None:
            raise IndexUnavailable("no registry is known yet")
        try:
            answer = await self._client.ask(
                registry, "POST", PASSAGES, asdict(question), timeout_s=_TIMEOUT_S
            )
        except Unanswered as error:
            raise IndexUnavailable(str(error)) from error
        found = answer.json()
        if answer.status != 200 or not isinstance(found, dict):
            raise IndexUnavailable(f"the registry answered {answer.status}")
        passages = [Passage(**each) for each in found["passages"]]
        return Retrieved(passages, frozenset(found["unknown"]))

    async def aclose(self) -> None:
        """Wait for what is under way, and give connections back."""
        await asyncio.to_thread(self._retriever.close)
        self._index.close()
        await self._client.aclose()


class _Tokenizer:
    """The base's own, read when it is first needed and there: a hub's may arrive later."""

    def __init__(self, base: BaseSettings) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._counter: Counter | None = None

    def counter(self) -> Counter | None:
        """None while its files are not on this machine."""
        with self._lock:
            if self._counter is None:
                directory = _directory(self._base)
                self._counter = None if directory is None else local_counter(directory)
            return self._counter


def _directory(base: BaseSettings) -> Path | None:
    if base.model == EMBEDDED:
        return BASE_DIR
    if base.model == SMOLLM2:
        made = smollm2.directory()
        return made if made.is_dir() else None
    path = Path(base.model).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(base.model, _TOKENIZER, revision=base.revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None
