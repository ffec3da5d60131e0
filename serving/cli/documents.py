"""What answers may draw on: `documents add|list|search|delete`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import emit, fail, table

app = typer.Typer(
    help="Documents that answers may draw on.", no_args_is_help=True, rich_markup_mode=None
)
_PATH = "/admin/v1/documents"
_SHOWN_CHARS = 160

Tenant = Annotated[str | None, typer.Option(help="whose; `*`: every tenant's")]
Collection = Annotated[str | None, typer.Option(help="the collection's name")]


@app.command("add")
def add(  # noqa: PLR0913, PLR0917 - one parameter per option
    files: Annotated[
        list[Path], typer.Argument(help="text, Markdown, HTML, PDF, CSV or DOCX", metavar="FILE...")
    ],
    collection: Collection = None,
    tenant: Tenant = None,
    title: Annotated[str | None, typer.Option(help="default: the file's name")] = None,
    document_id: Annotated[
        str | None, typer.Option("--id", help="of a document that it replaces; for one file")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="whose personal data it holds")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Add files as documents."""
    if len(files) > 1 and document_id is not None:
        fail("--id is for one file: leave it out, or add the files one by one")
    metadata = None if subject is None else json.dumps({"subject": subject})
    said = {
        "collection": collection,
        "tenant": tenant,
        "title": title,
        "id": document_id,
        "metadata": metadata,
    }
    fields = {name: value for name, value in said.items() if value is not None}
    added: list[dict[str, Any]] = []
    with connected(url, key, as_json=as_json) as client:
        for path in files:
            try:
                raw = path.read_bytes()
            except OSError as error:
                fail(f"{path} cannot be read: {error.strerror}")
            added.append(client.post_file(_PATH, path.name, raw, fields))
    if as_json:
        emit({"object": "list", "data": added, "next": None})
    else:
        _show(added)


@app.command("list")
def listed(
    collection: Collection = None,
    tenant: Tenant = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List documents."""
    with connected(url, key, as_json=as_json) as client:
        answer = client.pages(_PATH, _query(collection=collection, tenant=tenant))
    if as_json:
        emit(answer)
    else:
        _show(answer["data"])


@app.command("search")
def search(
    words: Annotated[str, typer.Argument(help="what is looked for", metavar="WORDS")],
    collection: Collection = None,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option(min=1, max=40, help="passages, at most")] = 5,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show what would be found for a question."""
    query = _query(q=words, collection=collection, tenant=tenant, limit=str(limit))
    with connected(url, key, as_json=as_json) as client:
        answer = client.get(f"{_PATH}/search?{urlencode(query)}")
    if as_json:
        emit(answer)
        return
    table(
        ("document", "chunk", "score", "title", "text"),
        [
            (
                row["document"],
                row["chunk"],
                f"{row['score']:.3f}",
                row["title"],
                row["text"][:_SHOWN_CHARS],
            )
            for row in answer["data"]
        ],
    )


@app.command("delete")
def delete(
    ids: Annotated[list[str], typer.Argument(help="the documents' ids", metavar="ID...")],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Delete documents: the next answer does not draw on them."""
    with connected(url, key, as_json=as_json) as client:
        gone = [client.delete(f"{_PATH}/{quote(each, safe='')}") for each in ids]
    if as_json:
        emit({"object": "list", "data": gone, "next": None})
    else:
        table(("deleted",), [(each["id"],) for each in gone])


def _query(**given: str | None) -> dict[str, str]:
    return {name: value for name, value in given.items() if value is not None}


def _show(rows: list[dict[str, Any]]) -> None:
    table(
        ("id", "tenant", "collection", "chunks", "tokens", "title"),
        [
            tuple(row[name] for name in ("id", "tenant", "collection", "chunks", "tokens", "title"))
            for row in rows
        ],
    )
