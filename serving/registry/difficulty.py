"""How hard requests are, learned in the registry's background and handed to the routers.

What was judged is read, texts become vectors by the encoder that routers read with, and heads are
fitted when anything changed. All of it happens in a thread, a part at a time; the model is a few
kilobytes that the routing table names by digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from adapters.admin import quality
from adapters.corpus.language import language_of
from adapters.flywheel.database import FlywheelStore
from adapters.jobs.periodic import After, Every, PeriodicJobs
from adapters.outcomes.erasable import OutcomesOfPersons
from adapters.outcomes.importing import Importer
from adapters.outcomes.outcomes import Learned, Outcomes
from adapters.resources import BadField, Resource
from router.account.gauges import Reading
from router.capture.consent import Consent
from router.choose.difficulty import traits
from router.choose.heads import Outcome, fitted
from router.intent.encoder import Encoder, SentenceEncoder
from router.intent.model import is_english
from router.wire.table import Bound, bound
from serving.config.settings import Settings
from serving.internal.paths import DIFFICULTY
from serving.registry.judged import Asked, Judged
from serving.registry.redacting import Redaction

_READ_AT_ONCE: Final = 200
_REMEMBERED: Final = 20_000
"""Vectors of texts in other rooms, halves: 15 MiB."""
_NO_NEEDS: Final[frozenset[str]] = frozenset()
_TOOLS: Final = frozenset({"tools"})


Halves = NDArray[np.float16]


class Learning:
    """Everything about difficulty, wired together.

    Args:
        settings: of the deployment.
        store: the loop's database.
        judged: what other rooms know of answers.
        redaction: what of a text may be kept.
        publish: has routers see which model there is now.
        load: makes the encoder, with the first text.

    Attributes:
        digest: of the model that routers should have; empty: none.
        persons: what an erasure removes.
        fits: how often something was fitted since the start.
    """

    def __init__(
        self,
        settings: Settings,
        store: FlywheelStore,
        judged: Judged,
        redaction: Redaction,
        publish: Callable[[], None],
        load: Callable[[int], Encoder] = SentenceEncoder,
    ) -> None:
        config = settings.flywheel.outcomes
        self._every = Every(config.refit_s, at_once=True, limit_s=600.0, max_retry_s=60.0)
        self._max_tokens = settings.router.auto.max_tokens
        self._judged = judged
        self._publish = publish
        self._load = load
        self._encoder: Encoder | None = None
        self._vectors: OrderedDict[str, Halves | None] = OrderedDict()
        self._basis = ""
        self.fits = 0
        self.outcomes = Outcomes(store, config.max_rows)
        learned = self.outcomes.learned()
        self.digest = "" if learned is None else learned.digest
        self._wake: Callable[[], None] = lambda: None
        self.persons = OutcomesOfPersons(self.outcomes, redaction.hashed, self._soon)

        self._desk = quality.Desk(
            self.outcomes,
            Importer(self.outcomes, redaction.brought, redaction.hashed, traits_of),
            self._soon,
            Consent(settings.router.capture).said_no,
            config.import_max_mb,
        )

    def resources(self) -> list[Bound]:
        """Rows of the admin plane."""
        return bound(quality.RESOURCES, self._desk)

    def routes(self) -> list[Bound]:
        """What routers ask of the registry's internal surface."""
        return bound((Resource("internal", "GET", DIFFICULTY, _document),), self.outcomes)

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        return {
            "graftwork_quality_outcomes": (
                "Imported outcomes; flywheel.outcomes.max_rows is the limit.",
                lambda: self.outcomes.kept,
            ),
            "graftwork_quality_judgements": (
                "Clients' judgements that are remembered to be learned from; at most 5000.",
                lambda: self._judged.remembered,
            ),
            "graftwork_quality_vectors": (
                "Vectors of judged texts that are remembered; at most 20000.",
                lambda: len(self._vectors),
            ),
            "graftwork_quality_fits": (
                "How often difficulty was fitted since the start.",
                lambda: self.fits,
            ),
        }

    def _soon(self) -> None:
        self._wake()

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Learn again and again, and soon after an import or an erasure."""
        self._wake = jobs.add("difficulty", self.once, self._every).wake

    async def once(self) -> After | None:
        """Read some of what was imported; when that is all read, fit anew if anything changed."""
        if await asyncio.to_thread(self._read_some):
            return After(0.0)
        await self._judged.hear()
        if await asyncio.to_thread(self._fit):
            self._publish()
        return None

    def _read_some(self) -> bool:
        """Whether there may be more."""
        if not self.outcomes.kept:
            return False
        encoder = self._reader()
        unread = self.outcomes.unread(encoder.name, _READ_AT_ONCE)
        if unread:
            # A table has each text once a target.
            vectors = [(number, self._meaning(text)) for number, text in unread]
            found = [(number, None if v is None else v.tobytes()) for number, v in vectors]
            self.outcomes.read_by(encoder.name, found)
        return len(unread) == _READ_AT_ONCE

    def _fit(self) -> bool:
        """Whether routers should have another model than before."""
        found = [*self._imported(), *map(self._outcome, self._judged.all())]
        basis = _basis(found)
        if basis == self._basis:
            return False
        self._basis = basis
        learned = self._learned(found) if found else None
        self.outcomes.learn(learned)
        before, self.digest = self.digest, "" if learned is None else learned.digest
        return self.digest != before

    def _learned(self, found: Sequence[Outcome]) -> Learned:
        encoder = self._reader()
        model, told = fitted(found, encoder.name, encoder.width)
        self.fits += 1
        said = [asdict(each) for each in told]
        return Learned(model.digest, model.document(), said, time.time())

    def _imported(self) -> list[Outcome]:
        """What was read; what came since is in the next fit."""
        if not self.outcomes.kept:
            return []
        return [
            Outcome(
                each.text,
                None if each.vector is None else np.frombuffer(each.vector, "<f2").astype("f4"),
                np.array(each.traits, np.float32),
                each.target,
                each.good,
                each.intent,
            )
            for each in self.outcomes.all(self._reader().name)
        ]

    def _outcome(self, asked: Asked) -> Outcome:
        known = traits(
            asked.text,
            turns=asked.turns,
            input_tokens=asked.input_bytes // 4,
            needs=_TOOLS if asked.tools else _NO_NEEDS,
            foreign=not is_english(language_of(asked.text)),
        )
        vector = self._meaning(asked.text)
        return Outcome(
            asked.text,
            None if vector is None else vector.astype(np.float32),
            known,
            asked.target,
            asked.good,
            asked.intent,
            asked.origin,
            levels=False,
        )

    def _meaning(self, text: str) -> Halves | None:
        """What a text means, as halves; None in languages that the encoder does not know."""
        key = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        if key in self._vectors:
            self._vectors.move_to_end(key)
            return self._vectors[key]
        encoder = self._reader()
        english = is_english(language_of(text))
        found = encoder.encode(encoder.read(text)).astype("<f2") if english else None
        self._vectors[key] = found
        if len(self._vectors) > _REMEMBERED:
            self._vectors.popitem(last=False)
        return found

    def _reader(self) -> Encoder:
        """Raises ``EncoderMissing``."""
        if self._encoder is None:
            self._encoder = self._load(self._max_tokens)
        return self._encoder

    async def aclose(self) -> None:
        """Close every connection."""
        await self._judged.aclose()


def traits_of(text: str) -> tuple[float, ...]:
    """Of a text of which no more is known."""
    size, foreign = len(text.encode("utf-8", "replace")), not is_english(language_of(text))
    known = traits(text, turns=1, input_tokens=size // 4, needs=_NO_NEEDS, foreign=foreign)
    return tuple(float(each) for each in known)


def _basis(found: list[Outcome]) -> str:
    """Equal for equal outcomes."""
    digest = hashlib.sha256()
    for each in found:
        told = (each.text, each.target, each.intent, each.origin, each.good, each.traits.tobytes())
        digest.update(repr(told).encode("utf-8", "replace"))
    return digest.hexdigest()


async def _document(outcomes: Outcomes, request: Request) -> Response:
    """The model, as long as it is this one."""
    learned = await asyncio.to_thread(outcomes.learned)
    if learned is None or learned.digest != request.path_params["digest"]:
        raise BadField("This model is not the present one.", None, code="gone", status=404)
    return Response(learned.document, media_type="application/json")
