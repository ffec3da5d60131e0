"""The library: what it takes, what it refuses, and that only the one writer changes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from router.config.documents import DocumentsConfig
from router.context.documents.parsing import Unreadable
from router.context.documents.sqlite import SqliteIndex
from router.context.library import Library, Taken, TooLong, UnknownCollection, Upload
from router.context.retrieve import Retriever
from router.embed.threads import Threads
from tests.fakes.documents import WIDTH, NoReranker, WordEncoder, everybody_writes

FIRST = "The kettle boils.\n\n" + "A lid comes with it, in red or in blue. " * 12
SECOND = "The pump lifts water. " * 30


class _Superseded(Exception):
    pass


class Shelf:
    """A library and what it is made of."""

    def __init__(self, root: Path, **config: int) -> None:
        self.encoder = WordEncoder()
        self.index = SqliteIndex(root / "documents.db", WIDTH, writes=True)
        retriever = Retriever(self.index, self.encoder, NoReranker(), Threads("search"))
        self.is_writer = True
        self.library = Library(
            DocumentsConfig.model_validate(config),
            self.index,
            self.encoder,
            retriever,
            Threads("understanding"),
            self._as_writer,
        )

    def _as_writer(self, work: Callable[[], object]) -> None:
        if not self.is_writer:
            raise _Superseded
        everybody_writes(work)


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    """A small one."""
    made = Shelf(tmp_path, max_chunks=7, max_chunks_per_document=6)
    yield made
    made.library.close()


def upload(text: str, **more: object) -> Upload:
    """A text of tenant ``acme``."""
    said = {"title": "t", "collection": "manuals", "tenant": "acme", "kind": "markdown", **more}
    return Upload(raw=text.encode(), **said)  # type: ignore[arg-type]


async def test_only_what_changed_is_understood_again(shelf: Shelf) -> None:
    """A document comes again with one chunk more: one vector is made."""
    first = await shelf.library.add(upload(f"{FIRST}\n\n{SECOND}", id="d1"))
    shelf.encoder.encoded.clear()

    again = await shelf.library.add(upload(f"{FIRST}\n\nNew words here.\n\n{SECOND}", id="d1"))
    assert again.chunks == first.chunks + 1 or again.chunks == first.chunks
    assert 0 < len(shelf.encoder.encoded) <= 2
    found = await shelf.library.get("d1")
    assert found is not None
    assert "New words here." in "\n".join(found[1])
    assert len(await shelf.library.page(None, "", 9)) == 1


async def test_what_is_too_long_is_refused_and_nothing_of_it_is_kept(shelf: Shelf) -> None:
    """One document's bound, and that of all together."""
    with pytest.raises(TooLong, match="max_chunks_per_document"):
        await shelf.library.add(upload(SECOND * 20))
    await shelf.library.add(upload(SECOND * 5, id="d1"))
    held = shelf.index.chunks()
    with pytest.raises(TooLong, match="all documents together"):
        await shelf.library.add(upload(SECOND * 5))
    assert shelf.index.chunks() == held
    # One that replaces another needs no room beside it.
    assert (await shelf.library.add(upload(f"New. {SECOND * 5}", id="d1"))).chunks == held


async def test_what_holds_no_text_is_refused(shelf: Shelf) -> None:
    """And the index stays as it is."""
    with pytest.raises(Unreadable):
        await shelf.library.add(upload(" \n "))
    assert shelf.index.chunks() == 0


async def test_who_was_superseded_changes_nothing(shelf: Shelf) -> None:
    """Neither adds, nor deletes, nor erases (law 13)."""
    kept = await shelf.library.add(upload(FIRST, subject="alice"))
    shelf.is_writer = False
    with pytest.raises(_Superseded):
        await shelf.library.add(upload(SECOND))
    with pytest.raises(_Superseded):
        await shelf.library.delete(kept.id)
    with pytest.raises(_Superseded):
        await shelf.library.erase("alice")
    assert [each.id for each in await shelf.library.page(None, "", 9)] == [kept.id]


async def test_an_id_of_another_tenant_is_not_replaced(shelf: Shelf) -> None:
    """The document stays whose it is."""
    await shelf.library.add(upload(FIRST, id="d1"))
    with pytest.raises(Taken):
        await shelf.library.add(upload(SECOND, id="d1", tenant="other"))
    found = await shelf.library.get("d1")
    assert found is not None
    assert found[0].tenant == "acme"


async def test_a_search_is_the_tenants_own(shelf: Shelf) -> None:
    """A collection that it does not have is unknown, also where another tenant has it."""
    await shelf.library.add(upload(FIRST))
    [row, *_] = await shelf.library.search("acme", "manuals", "kettle boils", 5)
    assert "kettle" in row.text
    with pytest.raises(UnknownCollection):
        await shelf.library.search("other", "manuals", "kettle boils", 5)
    assert await shelf.library.search("other", None, "kettle boils", 5) == []


async def test_a_person_is_found_and_erased_by_name(shelf: Shelf) -> None:
    """And a second time there is nothing left."""
    await shelf.library.add(upload(FIRST, subject="alice"))
    await shelf.library.add(upload(SECOND, subject="bob"))
    assert await shelf.library.found("alice") == 1
    assert await shelf.library.erase("alice") == 1
    assert await shelf.library.erase("alice") == 0
    assert await shelf.library.found("bob") == 1
