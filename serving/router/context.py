"""The context stage of one router: the index that the registry writes, and targets' tokenizers."""

from __future__ import annotations

import threading
from pathlib import Path

from router.context.documents.opening import open_index
from router.context.retrieve import Retriever
from router.context.stage import ContextStage, UntrustedCheck
from router.context.tokens import Counter, local_counter
from router.embed.cross import CrossEncoder
from router.embed.encoder import BgeSmall
from router.embed.threads import Threads
from router.exchange import Exchange
from router.request import Option
from router.targets.directory import Catalog
from serving.config.settings import EMBEDDED, BaseSettings, Settings
from serving.embedded import BASE_DIR

_TOKENIZER = "tokenizer.json"


class Context:
    """What one router needs to stitch context.

    Args:
        settings: of the process.
        catalog: its targets.
        check: looks at passages before a model does.

    Attributes:
        stage: of its pipeline.
    """

    def __init__(self, settings: Settings, catalog: Catalog, check: UntrustedCheck) -> None:
        config, encoder = settings.router.context, BgeSmall()
        self._index = open_index(
            settings.documents, settings.state_dir, encoder.width, writes=False
        )
        self._fitting = Threads("fitting")
        self._retriever = Retriever(
            self._index, encoder, CrossEncoder(), Threads("context"), config.grants
        )
        tokenizer = _Tokenizer(settings.base)

        def window(exchange: Exchange, option: Option) -> int | None:
            if option.is_local:
                return exchange.decision.table.max_model_len
            return catalog.frontier(option).card.context_window

        def counter(option: Option) -> Counter | None:
            return tokenizer.counter() if option.is_local else None

        self.stage = ContextStage(config, self._retriever, self._fitting, counter, window, check)

    def close(self) -> None:
        """Wait for what is under way, and give connections back."""
        self._retriever.close()
        self._fitting.close()
        self._index.close()


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
