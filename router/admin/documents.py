"""The resource ``documents``: what answers may draw on. The registry answers it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from adapters.records.line import iso
from adapters.resources import (
    BadField,
    Resource,
    bad_field,
    cursor_of,
    describes,
    page_of,
    parsed,
)
from router.context.documents.form import BadForm, read_form
from router.context.documents.model import Document, IndexUnavailable
from router.context.documents.parsing import UnknownKind, Unreadable, kind_of
from router.context.library import (
    Library,
    Taken,
    TooLong,
    UnknownCollection,
    Upload,
)
from router.context.stage import NONE
from router.embed.threads import Busy
from router.embed.weights import ModelMissing
from router.errors import NotFound, Overloaded, Refused, TooLarge
from router.govern.detectors import holds_personal

TENANT_HEADER: Final = "x-graftwork-tenant"
"""The caller's, as the router established it."""
DEFAULT_COLLECTION: Final = "default"
_MB: Final = 1_000_000
_FORM_OVERHEAD_BYTES: Final = 256 * 1024
_AT_ONCE: Final = 4
_MAX_NAME: Final = 128
_MAX_TITLE: Final = 500
_MAX_METADATA: Final = 16 * 1024
_NAME: Final = re.compile(r"[^\s,\x00-\x1f\x7f][^,\x00-\x1f\x7f]*")
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NO_IDS: Final = (".", "..", "search")
"""What in a document's place in a path means something else."""
_JSON: Final = "application/json"
_OBJECT: Final = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class DocumentsAdmin:
    """Where documents are handed in."""

    library: Library
    receiving: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    """Bodies that are held in memory."""


_FORM: Final = frozenset({"title", "collection", "tenant", "metadata", "id"})
"""What a form may say beside the file."""


class NewDocument(BaseModel):
    """A document as text."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="plain text or Markdown")
    title: str = Field(default="", max_length=_MAX_TITLE)
    collection: str = DEFAULT_COLLECTION
    tenant: str | None = Field(default=None, description="default: the key's; `*`: every tenant")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="`subject` makes it that person's"
    )
    id: str | None = Field(default=None, description="of a document that it replaces, or a new id")


@describes(
    body=NewDocument,
    content={
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    **{name: {"type": "string"} for name in sorted(_FORM)},
                },
            }
        }
    },
    answers={
        409: "The id is another tenant's document's.",
        413: "Larger than `documents.max_mb`, or no room for its chunks.",
        415: "A kind of file that is not read.",
        422: "It cannot be read, or holds no text.",
    },
)
async def add(admin: DocumentsAdmin, request: Request) -> Response:
    """Add a document: text, Markdown, HTML, PDF, CSV or DOCX."""
    async with admin.receiving:
        raw = await _body(request, admin.library.config.max_mb)
        upload = _upload(request, raw)
        if len(upload.raw) > admin.library.config.max_mb * _MB:
            raise _too_large(admin.library.config.max_mb)
        document = await _answered(admin.library.add(upload))
    return _json(_shown(document), 201)


@describes(query={"tenant": "only this tenant's", "collection": "only of this collection"})
async def documents(admin: DocumentsAdmin, request: Request) -> Response:
    """Every document, by id."""
    page, query = page_of(request.query_params), request.query_params
    wanted = query.get("collection")
    rows: list[Document] = []
    after = page.after
    # One more than is shown says whether another page follows.
    while len(rows) <= page.limit:
        found = await _answered(admin.library.page(query.get("tenant"), after, page.limit + 1))
        rows += [each for each in found if wanted in (None, each.collection)]
        if len(found) <= page.limit:
            break
        after = found[-1].id
    shown, goes_on = rows[: page.limit], len(rows) > page.limit
    return _json(
        {
            "object": "list",
            "data": [_shown(each) for each in shown],
            "next": cursor_of(shown[-1].id) if goes_on else None,
        }
    )


async def document(admin: DocumentsAdmin, request: Request) -> Response:
    """One document with its chunks."""
    found = await _answered(admin.library.get(request.path_params["id"]))
    if found is None:
        raise _unknown(request)
    own, texts = found
    chunks = [{"chunk": place, "text": text} for place, text in enumerate(texts)]
    return _json({**_shown(own), "chunks": chunks})


async def delete(admin: DocumentsAdmin, request: Request) -> Response:
    """Delete a document: the next answer does not draw on it."""
    if not await _answered(admin.library.delete(request.path_params["id"])):
        raise _unknown(request)
    return _json({"id": request.path_params["id"], "deleted": True})


@describes(
    query={
        "q": "what is looked for",
        "collection": "only in it; default: in all of the tenant's",
        "tenant": "whose documents; default: the key's",
    },
    answers={404: "The tenant has no such collection."},
)
async def search(admin: DocumentsAdmin, request: Request) -> Response:
    """What would be found for a question."""
    query = request.query_params
    words = query.get("q", "").strip()
    if not words:
        raise BadField("'q' must say what is looked for.", "q")
    tenant, collection = query.get("tenant") or _tenant(request), query.get("collection")
    limit = min(page_of(query).limit, 40)
    try:
        found = await _answered(admin.library.search(tenant, collection, words[:4000], limit))
    except UnknownCollection as error:
        raise NotFound(
            f"Tenant {tenant!r} has no collection {str(error)!r}."
            " `graftwork documents list` shows which documents are in which.",
            param="collection",
        ) from error
    rows = [
        {
            "document": each.document,
            "chunk": each.chunk,
            "title": each.title,
            "text": each.text,
            "score": each.score,
        }
        for each in found
    ]
    return _json({"object": "list", "data": rows, "next": None})


async def _body(request: Request, max_mb: float) -> bytes:
    limit = int(max_mb * _MB) + _FORM_OVERHEAD_BYTES
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        # JSON may spell a character with six.
        if len(raw) > (limit if _is_form(request) else 6 * limit):
            raise _too_large(max_mb)
    return bytes(raw)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _too_large(max_mb: float) -> TooLarge:
    return TooLarge(f"The document is larger than {max_mb:g} MB (documents.max_mb).")


def _upload(request: Request, raw: bytes) -> Upload:
    """What is to be added. Raises ``BadField`` and ``Refused``."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if _is_form(request):
        return _from_form(request, raw)
    if kind not in ("", _JSON):
        raise Refused(
            415,
            f"{kind[:80]!r} is not taken: send a form with a file, or JSON with a text.",
            code="unsupported_media_type",
        )
    given = parsed(raw, NewDocument, "the body")
    if not given.text.strip():
        raise Refused(422, "The document holds no text.", code="unreadable", param="text")
    return _made(request, given, "markdown", given.text.encode("utf-8", "replace"), "untitled")


def _from_form(request: Request, raw: bytes) -> Upload:
    try:
        form = read_form(request.headers["content-type"], raw)
    except BadForm as error:
        raise BadField(f"{error}", "file", code="bad_request") from error
    said: dict[str, Any] = {**request.query_params, **form.fields}
    if unknown := sorted(said.keys() - _FORM):
        known = ", ".join(sorted(_FORM))
        raise BadField(f"There is no field {unknown[0][:64]!r} here; known: {known}.", unknown[0])
    if "metadata" in said:
        said["metadata"] = _metadata(said["metadata"])
    try:
        given = NewDocument(text="", **said)
    except ValidationError as error:
        raise bad_field(error) from error
    name = PurePath((form.name or "").replace("\\", "/")).name
    try:
        kind = kind_of(name, form.media_type, form.content)
    except UnknownKind as error:
        raise Refused(415, f"{error}.", code="unsupported_media_type", param="file") from error
    except Unreadable as error:
        raise Refused(422, f"{error}.", code="unreadable", param="file") from error
    return _made(request, given, kind, form.content, name or "untitled")


def _metadata(text: str) -> dict[str, Any]:
    try:
        return _OBJECT.validate_json(text or "{}")
    except ValidationError as error:
        raise BadField("'metadata' must be an object, as JSON", "metadata") from error


def _made(request: Request, given: NewDocument, kind: str, raw: bytes, name: str) -> Upload:
    subject = given.metadata.get("subject")
    if subject is not None and (not isinstance(subject, str) or "\0" in subject):
        raise BadField("'metadata.subject' must be a text", "metadata.subject")
    try:
        size = len(orjson.dumps(given.metadata))
    except orjson.JSONEncodeError as error:
        # It would be taken, and no list that it is in could be shown any more.
        raise BadField(f"'metadata' cannot be told again as JSON: {error}", "metadata") from error
    if size > _MAX_METADATA:
        raise BadField(f"'metadata' may have {_MAX_METADATA} bytes", "metadata")
    if given.id is not None and (given.id in _NO_IDS or not _ID.fullmatch(given.id)):
        raise BadField(f"'id' may have letters, digits and . _ : - and be none of {_NO_IDS}", "id")
    if given.id is not None and holds_personal(given.id):
        # Every answer that draws on it names it, and every record of one.
        raise BadField("'id' looks like a number of a card or an account: choose another", "id")
    return Upload(
        title=(_printable(given.title) or _printable(name) or "untitled")[:_MAX_TITLE],
        collection=_name(given.collection, "collection"),
        tenant=_name(given.tenant or _tenant(request), "tenant"),
        kind=kind,
        raw=raw,
        subject=subject,
        metadata=given.metadata,
        id=given.id,
    )


def _printable(text: str) -> str:
    """One line of text: a title is shown in lists, headers and terminals."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _name(text: str, param: str) -> str:
    name = text.strip()
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME or name == NONE:
        raise BadField(f"{param!r} must be a name of up to {_MAX_NAME} characters", param)
    return name


def _tenant(request: Request) -> str:
    return request.headers.get(TENANT_HEADER) or DEFAULT_COLLECTION


async def _answered(asked: Any) -> Any:
    """What the library says, with its errors as the door's."""
    try:
        return await asked
    except Unreadable as error:
        raise Refused(
            422, f"The document cannot be read: {error}.", code="unreadable", param="file"
        ) from error
    except TooLong as error:
        raise TooLarge(f"The document cannot be taken: {error}.") from error
    except Taken as error:
        raise Refused(
            409, "The id is that of another tenant's document.", code="id_taken", param="id"
        ) from error
    except (Busy, IndexUnavailable) as error:
        raise Overloaded(f"Documents are not available: {error}.", retry_after_s=2.0) from error
    except ModelMissing as error:
        raise Refused(503, str(error), code="encoder_missing", retry_after_s=60.0) from error


def _unknown(request: Request) -> NotFound:
    name = request.path_params["id"][:_MAX_NAME]
    return NotFound(f"There is no document {name!r}. List them: `graftwork documents list`.")


def _shown(document: Document) -> Mapping[str, Any]:
    return {
        "object": "document",
        "id": document.id,
        "tenant": document.tenant,
        "collection": document.collection,
        "title": document.title,
        "type": document.kind,
        "created": iso(document.created),
        "chunks": document.chunks,
        "tokens": document.tokens,
        "metadata": document.metadata,
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type=_JSON)


RESOURCES: tuple[Resource[DocumentsAdmin], ...] = (
    Resource("admin", "POST", "/admin/v1/documents", add),
    Resource("admin", "GET", "/admin/v1/documents", documents),
    Resource("admin", "GET", "/admin/v1/documents/search", search),
    Resource("admin", "GET", "/admin/v1/documents/{id}", document),
    Resource("admin", "DELETE", "/admin/v1/documents/{id}", delete),
)
