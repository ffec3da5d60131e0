"""Documents are found wherever the index is: beside the router, at the registry, in a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.registry import Registry
from router.context.documents.model import IndexUnavailable
from router.context.library import Upload
from router.context.retrieve import Question
from router.embed.encoder import BgeSmall
from router.wire.table import ResourceApp
from serving.config.settings import Settings
from serving.internal.server import InternalServer
from serving.registry.documents import open_library, routes
from serving.router.context import Documents
from tests.fakes.postgres import NewDatabase

ASKED = Question("acme", ("manuals", "nope"), "How long is the warranty?", 5)
MANUAL = Upload("Manual", "manuals", "acme", "text", b"The warranty lasts 27 months.")


def settings(root: Path, database: str | None = None, url: str | None = None) -> Settings:
    """Of a process whose state is there."""
    given = {
        "state_dir": root,
        "adapters": {} if database is None else {"database_url": database},
        "documents": {} if url is None else {"url": url},
    }
    return Settings.model_validate(given)


async def test_a_router_without_the_file_asks_the_registry(tmp_path: Path) -> None:
    """It hears what a router beside the file finds: a deleted document is gone at once."""
    own = settings(tmp_path / "registry")
    assert own.documents_here() == (None, tmp_path / "registry" / "documents.db")
    (tmp_path / "registry").mkdir()
    registry = Registry.open(f"sqlite:///{tmp_path}/registry/registry.db")
    library, server = open_library(own, registry), InternalServer("127.0.0.1")
    await server.start(ResourceApp(routes(library)))
    peer = server.peer("registry")
    elsewhere = settings(tmp_path / "r")
    beside, away = (Documents(each, lambda: peer, BgeSmall()) for each in (own, elsewhere))
    lost = Documents(elsewhere, lambda: None, BgeSmall())
    try:
        document = await library.add(MANUAL)
        found = await away.retrieve(ASKED)
        assert [each.document for each in found.passages] == [document.id]
        assert found.unknown == {"nope"}
        assert (await beside.retrieve(ASKED)).passages == found.passages
        assert not (tmp_path / "r").exists()
        await library.delete(document.id)
        assert (await away.retrieve(ASKED)).passages == []
        with pytest.raises(IndexUnavailable):
            await lost.retrieve(ASKED)
        await server.stop()
        with pytest.raises(IndexUnavailable):
            await away.retrieve(ASKED)
    finally:
        await server.stop()
        for each in (beside, away, lost):
            await each.aclose()
        library.close()
        registry.close()


async def test_a_registry_in_postgresql_keeps_documents_there_too(
    tmp_path: Path, postgres: NewDatabase
) -> None:
    """In a schema of its own; a router that is told the database reads it without the registry."""
    database = postgres()
    own = settings(tmp_path, database)
    assert own.documents_here()[0] == database
    registry = Registry.open(database)
    library = open_library(own, registry)
    router = Documents(settings(tmp_path, url=database), lambda: None, BgeSmall())
    try:
        document = await library.add(MANUAL)
        found = await router.retrieve(ASKED)
        assert [each.document for each in found.passages] == [document.id]
        assert not (tmp_path / "documents.db").exists()
        assert await library.erase("nobody") == 0
        await library.delete(document.id)
        assert (await router.retrieve(ASKED)).passages == []
    finally:
        await router.aclose()
        library.close()
        registry.close()
