"""The resource ``datasets``: reviewed answers, frozen; brought and taken away as files."""

from __future__ import annotations

import asyncio
import gzip
import io
import re
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from adapters.admin.lines import LINES, pieces
from adapters.admin.parts import actor, choice, number
from adapters.dataset import errors, files, lines
from adapters.dataset.bringing import Bringing, Importer, NothingTaken
from adapters.dataset.card import markdown
from adapters.dataset.datasets import ERASED, FROZEN, Datasets
from adapters.dataset.errors import DatasetError, ErasedDataset, UnknownDataset
from adapters.dataset.frozen import SPLITS, Dataset, Row, Split
from adapters.dataset.lines import Rejected
from adapters.dataset.selection import Selection
from adapters.records.line import iso, with_iso
from adapters.resources import (
    BadField,
    Resource,
    body_of,
    describes,
    listed,
    moment,
    page_of,
    refuse_unknown,
)

_PATH: Final = "/admin/v1/datasets"
_TENANT: Final = "x-graftwork-tenant"
_HUGGINGFACE: Final = "huggingface"
_MB: Final = 1 << 20
_AT_ONCE: Final = 2
_REJECTED_SHOWN: Final = 1000
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_STATUS: Final[tuple[tuple[type[DatasetError], int, str], ...]] = (
    (errors.NothingReviewed, 422, "nothing_reviewed"),
    (errors.TooMany, 422, "too_many"),
    (errors.UnknownDataset, 404, "not_found"),
    (errors.ErasedDataset, 410, "erased"),
    (errors.DamagedDataset, 500, "dataset_damaged"),
    (errors.NoRoom, 507, "no_room"),
)
T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    """What the resource needs. ``max_import_mb`` bounds one file."""

    datasets: Datasets
    importer: Importer
    max_import_mb: float
    receiving: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    """Files that are held in memory."""


class NewDataset(BaseModel):
    """Which reviewed answers to freeze."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    intents: list[str] | None = Field(default=None, min_length=1, description="default: all")
    tenants: list[str] | None = Field(default=None, min_length=1, description="default: all")
    since: str | float | None = Field(
        default=None, description="exchanges from then on: ISO 8601 or seconds since the epoch"
    )
    holdout: float | None = Field(
        default=None, ge=0, lt=1, description="share of each intent's rows that is only tested on"
    )
    replay: float | None = Field(
        default=None,
        ge=0,
        le=0.9,
        description="share of other intents' rows in what trains, against forgetting",
    )

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or not name.strip():
            raise ValueError("must be a line of text")
        return name


# Making


@describes(
    body=NewDataset,
    answers={422: "Nothing that fits is reviewed, or more than fits.", 507: "The disk is full."},
)
async def freeze(desk: Desk, request: Request) -> Response:
    """Freeze reviewed answers; the same answers have the same digest, whatever the name."""
    body = await body_of(request, NewDataset)
    selection = Selection(
        name=body.name,
        intents=_tuple(body.intents),
        tenants=_tuple(body.tenants),
        since=None if body.since is None else moment(str(body.since)),
        holdout=body.holdout,
        replay=body.replay,
    )
    made = await _answered(lambda: desk.datasets.freeze(selection))
    return JSONResponse(_shown(made), status_code=201)


@describes(
    query={
        "name": "what it is called",
        "format": "messages or prompt_completion",
        "intent": "of all rows; default: each line's `intent`",
        "holdout": "share that is only tested on, of rows without a `split` of their own",
    },
    content={LINES: {"schema": {"type": "string"}}},
    answers={
        413: "Larger than `flywheel.datasets.max_import_mb`.",
        415: "Not JSON lines.",
        422: "No line of it can be taken.",
    },
)
async def bring(desk: Desk, request: Request) -> Response:
    """Freeze the examples of a file; whoever brings it counts as their reviewer."""
    query = request.query_params
    refuse_unknown(query, bring)
    name, intent = query.get("name", ""), query.get("intent")
    if not _NAME.fullmatch(name) or not name.strip():
        raise BadField("'name' must be a line of text.", "name")
    if intent is not None and (not _NAME.fullmatch(intent) or not intent.strip()):
        raise BadField("'intent' must be a line of text.", "intent")
    share = number(query, "holdout", 0, 0.999)
    bringing = Bringing(
        name=name,
        importer=actor(request),
        tenant=request.headers.get(_TENANT, "default"),
        form=cast(lines.Format, choice(query, "format", lines.FORMATS) or "messages"),
        intent=intent,
        holdout=share,
    )
    async with desk.receiving:
        sent = pieces(request, desk.max_import_mb, "flywheel.datasets.max_import_mb")
        raw = b"".join([piece async for piece in sent])
        try:
            taken = await desk.importer.take(raw, bringing)
        except DatasetError as error:
            raise _refused(error) from error
    return JSONResponse({**_shown(taken.dataset), **_told(taken.rejected)}, status_code=201)


# Reading


async def datasets(desk: Desk, request: Request) -> Response:
    """Every dataset, the newest first; erased ones say what replaced them."""
    page = page_of(request.query_params)
    found = await asyncio.to_thread(desk.datasets.listed)
    return JSONResponse(listed(page, found, _newest_first, _shown))


@describes(answers={410: "It was erased; `rebuilt_as` names what replaced it."})
async def dataset(desk: Desk, request: Request) -> Response:
    """One dataset with its card: figures, leak checks, warnings."""
    found = await _found(desk, request)
    return JSONResponse({**_shown(found), "names": list(found.names), **_about(found)})


@describes(answers={200: "Markdown.", 410: "It was erased."})
async def card(desk: Desk, request: Request) -> Response:
    """The card as Markdown, as Hugging Face reads it."""
    found = await _found(desk, request)
    text = markdown(found.digest, found.name, found.about, found.splits)
    return Response(text, media_type="text/markdown; charset=utf-8")


@describes(query={"split": "train or test"}, answers={410: "It was erased."})
async def rows(desk: Desk, request: Request) -> Response:
    """The rows of a dataset, each with where it came from."""
    page, split = page_of(request.query_params), _split(request)
    found = await _found(desk, request)
    read = await _answered(lambda: desk.datasets.rows(found.digest, split))
    numbered = [(f"{place:09d}", row) for place, row in enumerate(read)]
    return JSONResponse(
        listed(
            page,
            numbered,
            lambda each: each[0],
            lambda each: with_iso(files.line_of(each[1]), "at"),
        )
    )


@describes(
    query={
        "format": "messages, prompt_completion, or huggingface: a directory as tar.gz",
        "split": "train or test; default: both",
        "metadata": "true: with all that is known of each row beside it",
    },
    answers={200: "JSON lines, or a tar.gz.", 410: "It was erased."},
)
async def export(desk: Desk, request: Request) -> Response:
    """A dataset as a file that trainers read."""
    query = request.query_params
    form = choice(query, "format", (*lines.FORMATS, _HUGGINGFACE)) or "messages"
    beside = choice(query, "metadata", ("true", "false")) == "true"
    split, found = _split(request), await _found(desk, request)
    read = await _answered(lambda: desk.datasets.rows(found.digest, split))
    if form == _HUGGINGFACE:
        packed = await asyncio.to_thread(_packed, found, read)
        return Response(packed, media_type="application/gzip", headers=_named(found, "tar.gz"))
    written = lines.write(read, cast(lines.Format, form), beside=beside)
    return StreamingResponse(_in_pieces(written), media_type=LINES, headers=_named(found, "jsonl"))


# Within


async def _answered(work: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(work)
    except DatasetError as error:
        raise _refused(error) from error


def _refused(error: DatasetError) -> DatasetError | BadField:
    found = next((each for each in _STATUS if isinstance(error, each[0])), None)
    if found is None:
        return error
    _, status, code = found
    more: dict[str, Any] = {}
    if isinstance(error, ErasedDataset):
        more = {"rebuilt_as": error.rebuilt_as}
    if isinstance(error, NothingTaken):
        more = _told(error.rejected)
    return BadField(str(error), None, code=code, status=status, more=more)


async def _found(desk: Desk, request: Request) -> Dataset:
    """The dataset that the path names and that is not erased."""
    digest = request.path_params["digest"]

    def find() -> Dataset:
        found = desk.datasets.find(digest)
        if found is None:
            raise UnknownDataset(
                f"There is no dataset {digest[:80]!r}. List them: `graftwork datasets list`."
            )
        if found.erased:
            raise ErasedDataset(found.digest, found.rebuilt_as)
        return found

    return await _answered(find)


def _shown(found: Dataset) -> dict[str, Any]:
    return {
        "digest": found.digest,
        "name": found.name,
        "time": iso(found.created_at),
        "state": ERASED if found.erased else FROZEN,
        "counts": dict(found.counts),
        "splits": dict(found.splits),
        "rebuilt_as": found.rebuilt_as,
        "rebuilt_from": found.rebuilt_from,
    }


def _about(found: Dataset) -> dict[str, Any]:
    about = dict(found.about)
    for name, times in (("statistics", ("from", "to")), ("selection", ("since",))):
        if isinstance(about.get(name), Mapping):
            about[name] = with_iso(about[name], *times)
    return about


def _told(rejected: list[Rejected]) -> dict[str, Any]:
    return {
        "rejected": [asdict(each) for each in rejected[:_REJECTED_SHOWN]],
        "rejected_lines": len(rejected),
    }


def _newest_first(found: Dataset) -> str:
    return f"{1e12 - found.created_at:021.6f} {found.digest}"


def _split(request: Request) -> Split | None:
    return cast("Split | None", choice(request.query_params, "split", SPLITS))


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _named(found: Dataset, ending: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{found.digest[:12]}.{ending}"'}


async def _in_pieces(written: Iterator[bytes]) -> AsyncIterator[bytes]:
    piece = bytearray()
    for line in written:
        piece += line
        if len(piece) >= _MB:
            yield bytes(piece)
            piece.clear()
            await asyncio.sleep(0)
    yield bytes(piece)


def _packed(found: Dataset, read: Iterable[Row]) -> bytes:
    """The directory that was frozen, as a tar.gz; the same bytes each time."""
    text = markdown(found.digest, found.name, found.about, found.splits)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name, raw in sorted(files.content_of(read, text).items()):
            member = tarfile.TarInfo(f"{found.digest[:12]}/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return packed.getvalue()


RESOURCES: tuple[Resource[Desk], ...] = (
    Resource("admin", "POST", _PATH, freeze),
    Resource("admin", "GET", _PATH, datasets),
    Resource("admin", "POST", f"{_PATH}/import", bring),
    Resource("admin", "GET", f"{_PATH}/{{digest}}", dataset),
    Resource("admin", "GET", f"{_PATH}/{{digest}}/card", card),
    Resource("admin", "GET", f"{_PATH}/{{digest}}/rows", rows),
    Resource("admin", "GET", f"{_PATH}/{{digest}}/export", export),
)
