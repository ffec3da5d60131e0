"""The documents of one registry: it alone changes the index, and answers routers without a copy."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from adapters.registry import Registry
from adapters.resources import Resource
from router.account.gauges import Reading
from router.context.documents.model import IndexUnavailable
from router.context.documents.opening import open_index
from router.context.library import Library
from router.context.retrieve import Question, Retriever
from router.embed.cross import CrossEncoder
from router.embed.encoder import BgeSmall
from router.embed.threads import Busy, Threads
from router.embed.weights import ModelMissing
from router.errors import Overloaded
from router.wire.table import Bound, bound
from serving.config.settings import Settings
from serving.internal.paths import PASSAGES

_WAITING = 16
"""Documents that may wait to be understood."""
_QUESTION: TypeAdapter[Question] = TypeAdapter(Question)


def open_library(settings: Settings, registry: Registry) -> Library:
    """The library; no model is loaded and nothing is opened before the first document."""
    encoder = BgeSmall()
    index = open_index(*settings.documents_here(), encoder.width, writes=True)
    retriever = Retriever(
        index, encoder, CrossEncoder(), Threads("search"), settings.router.context.grants
    )
    understanding = Threads("understanding", limit=_WAITING)
    return Library(settings.documents, index, encoder, retriever, understanding, registry.as_writer)


def readings(library: Library) -> dict[str, Reading]:
    """What is worth a gauge."""
    return {
        "graftwork_document_chunks": (
            "Chunks of all documents, at the last change; documents.max_chunks is the limit.",
            lambda: library.kept,
        ),
    }


def routes(library: Library) -> list[Bound]:
    """What routers ask of the registry's internal surface."""
    return bound((Resource("internal", "POST", PASSAGES, _passages),), library)


async def _passages(library: Library, request: Request) -> Response:
    """What documents say about a question."""
    question = _QUESTION.validate_json(await request.body())
    try:
        found = await library.retrieve(question)
    except (IndexUnavailable, ModelMissing, Busy) as error:
        raise Overloaded(str(error), retry_after_s=2.0) from error
    answer = {
        "passages": [asdict(each) for each in found.passages],
        "unknown": sorted(found.unknown),
    }
    return Response(orjson.dumps(answer), media_type="application/json")
