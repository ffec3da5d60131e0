"""The intents in use: of configuration, files and clusters; trained, swapped when they change.

Everything slow happens beside the event loop, in a thread; the request path only ever reads
``current``. A file that cannot be used changes nothing: the model in use stays, and the log says
why. At the start it is an error, so that nobody serves with intents that were never there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from adapters.aliases import RoutingTable
from router.config.auto import AutoConfig, IntentConfig, Words
from router.files import Mark, mark_of
from router.intent.encoder import Encoder, EncoderMissing, SentenceEncoder
from router.intent.examples import (
    Example,
    IntentsInvalid,
    declared,
    from_file,
    require_bounded,
    require_file,
    told,
)
from router.intent.model import IntentModel
from router.intent.train import train
from router.intent.vectors import Remembering, VectorCache

_log = logging.getLogger("graftwork.router")
_MAX_FILE_BYTES = 16 * 1024 * 1024


class IntentsFile(BaseModel):
    """What ``router.auto.intents_file`` holds. Paths are relative to the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intents: tuple[IntentConfig, ...] = ()
    out_of_scope: tuple[Words, ...] = ()
    examples_file: Path | None = None


Fetch = Callable[[str], Awaitable[bytes]]
"""The document of made intents that has this digest. May raise anything; it is tried again."""
_NONE_MADE = IntentsFile()


class IntentSource:
    """Holds the current model and keeps it fresh.

    Args:
        config: the declared ones.
        load: makes the encoder.
        cache: where vectors of many examples are kept.
        fetch: gets the intents that were made of clusters, which the routing table names.

    Attributes:
        current: the model in use; replaced by one assignment.
        refused: changes that could not be taken over since the start.
        wake: has ``refresh`` run soon.
    """

    def __init__(
        self,
        config: AutoConfig,
        load: Callable[[int], Encoder] = SentenceEncoder,
        cache: Path | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        """Read and train. Raises ``EncoderMissing`` or ``IntentsInvalid``."""
        self._fetch = fetch
        self.wake: Callable[[], None] = lambda: None
        self._wanted = self._made_digest = ""
        self._made = _NONE_MADE
        self._learner: Remembering | None = None
        self._config = config
        self._load = load
        self._cache = VectorCache(cache) if cache is not None else None
        self._encoder: Encoder | None = None
        self._watched: list[Path] = []
        self._seen: list[Mark | None] = []
        self._is_due = False
        self.refused = 0
        self.current = self._make()

    @property
    def watched(self) -> bool:
        """Whether there are files that may change."""
        return bool(self._watched)

    def heard(self, table: RoutingTable) -> None:
        """Take what a routing table says of made intents; other ones are fetched soon."""
        if table.revision == 0 or self._fetch is None:
            return
        self._wanted = table.intents
        if self._wanted != self._made_digest:
            self.wake()

    async def refresh(self) -> bool:
        """Take a changed file over, and other made intents; whether there is a new model.

        Never raises for a file's content; what else goes wrong is raised, to be tried again.
        """
        before = self._made, self._made_digest
        is_other = await self._fetched()
        if not is_other and not self._is_due and self._marks() == self._seen:
            return False
        self._is_due = True
        try:
            made = await asyncio.to_thread(self._make)
        except (IntentsInvalid, EncoderMissing) as error:
            self._is_due = False
            self.refused += 1
            _log.warning("intents_refused", extra={"error": str(error)})
            if is_other:
                self._made, self._made_digest = before
                raise
            return False
        except BaseException:  # not the content's fault, or it took too long: it is tried again
            self._made, self._made_digest = before
            raise
        self._is_due = False
        changed = made.version != self.current.version
        self.current = made
        _log.info("intents_changed", extra={"version": made.version, "retrained": changed})
        return True

    async def _fetched(self) -> bool:
        """Whether other made intents are here now. Raises what fetching raises."""
        wanted = self._wanted
        if self._fetch is None or wanted == self._made_digest:
            return False
        made = _NONE_MADE
        if wanted:
            raw = await self._fetch(wanted)
            if hashlib.sha256(raw).hexdigest() != wanted:
                raise ValueError(f"what came are not the intents {wanted[:12]}")
            made = IntentsFile.model_validate_json(raw)
        self._made, self._made_digest = made, wanted
        return True

    def _make(self) -> IntentModel:
        """Read and train; files are marked as seen first, so a write meanwhile is seen later."""
        config = self._config
        added = config.intents_file
        self._watched = [path for path in (added, config.examples_file) if path is not None]
        self._seen = self._marks()
        file = IntentsFile() if added is None else _read(added)
        paths = [] if config.examples_file is None else [config.examples_file]
        if added is not None and file.examples_file is not None:
            paths.append(added.parent / file.examples_file)
            self._watched.append(paths[-1])
            # Only this one: the others may have changed since they were read.
            self._seen.append(mark_of(paths[-1]))
        examples = declared(config.intents, config.out_of_scope)
        examples += declared(file.intents, file.out_of_scope)
        for path in paths:
            examples += from_file(path)
        require_bounded(examples)
        made = self._made
        intents = _merged(config.intents, file.intents, made.intents, examples)
        return self._model(intents, examples, declared(made.intents))

    def _model(
        self, intents: list[IntentConfig], examples: list[Example], made: list[Example]
    ) -> IntentModel:
        if not any(example.intent for example in (*examples, *made)):
            return IntentModel(intents)  # keywords alone need no encoder
        if self._encoder is None:
            self._encoder = self._load(self._config.max_tokens)
        learner = Remembering(self._encoder, self._learner)
        trained = train(learner, examples, self._config, self._cache, made)
        learner.forget_before()
        self._learner = learner
        # Requests are read by the encoder itself: what people ask is not remembered there.
        return IntentModel(intents, trained and replace(trained, encoder=self._encoder))

    def _marks(self) -> list[Mark | None]:
        return [mark_of(path) for path in self._watched]


def _merged(
    ours: tuple[IntentConfig, ...],
    added: tuple[IntentConfig, ...],
    made: tuple[IntentConfig, ...],
    examples: list[Example],
) -> list[IntentConfig]:
    """One declaration per name: the file's wins; an intent that only has examples gets one.

    One that is made of clusters as well goes on as it was declared.
    """
    found = {intent.name: intent for intent in (*made, *ours, *added)}
    for example in examples:
        if example.intent is not None and example.intent not in found:
            found[example.intent] = IntentConfig(name=example.intent)
    return list(found.values())


def _read(path: Path) -> IntentsFile:
    try:
        require_file(path, _MAX_FILE_BYTES)
        return IntentsFile.model_validate(yaml.safe_load(path.read_text("utf-8-sig")) or {})
    except IntentsInvalid:
        raise
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        why = f"router.auto.intents_file {path} cannot be used: {told(error)}"
        raise IntentsInvalid(why) from error
