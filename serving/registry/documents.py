"""The documents of one registry: it alone changes the index; routers read it."""

from __future__ import annotations

from adapters.registry import Registry
from router.context.documents.opening import open_index
from router.context.library import Library
from router.context.retrieve import Retriever
from router.embed.cross import CrossEncoder
from router.embed.encoder import BgeSmall
from router.embed.threads import Threads
from serving.config.settings import Settings

_WAITING = 16
"""Documents that may wait to be understood."""


def open_library(settings: Settings, registry: Registry) -> Library:
    """The library; no model is loaded and nothing is opened before the first document."""
    encoder = BgeSmall()
    index = open_index(settings.documents, settings.state_dir, encoder.width, writes=True)
    retriever = Retriever(
        index, encoder, CrossEncoder(), Threads("search"), settings.router.context.grants
    )
    understanding = Threads("understanding", limit=_WAITING)
    return Library(settings.documents, index, encoder, retriever, understanding, registry.as_writer)
