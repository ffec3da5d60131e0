"""What ``GET /v1/models`` lists: everything that ``model`` may name now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.aliases import DIGEST_PREFIX_LENGTH, Alias, RoutingTable, engine_name
from adapters.resources import Resource
from router.errors import Gone, NotFound
from router.replicas.table import TableHolder
from router.request import AUTO, BASE
from router.targets.directory import Catalog

_STARTED = int(time.time())
_STARTED_AT = datetime.fromtimestamp(_STARTED, UTC).isoformat().replace("+00:00", "Z")
"""OpenAI's clients read seconds, Anthropic's a time."""
_OWNER = "graftwork"


class Virtuals(Protocol):
    """The configured virtual models."""

    @property
    def names(self) -> list[str]:
        """Those that are no globs."""
        ...

    def of(self, model: str, table: RoutingTable, /) -> tuple[str, object] | None:
        """The name under which what ``model`` stands for is configured, and that."""
        ...


def list_models(table: RoutingTable, catalog: Catalog, virtual: Sequence[str]) -> dict[str, Any]:
    """OpenAI's list, with the page fields that Anthropic's clients read."""
    data = list(_models(table, catalog, virtual))
    return {
        "object": "list",
        "data": data,
        "has_more": False,
        "first_id": data[0]["id"],
        "last_id": data[-1]["id"],
    }


def find_model(
    table: RoutingTable, catalog: Catalog, virtuals: Virtuals, name: str
) -> dict[str, Any]:
    """What a request's ``model`` of this name means: also ``base``, a whole digest, what a glob
    takes; then ``root`` is what is listed.

    Raises ``NotFound`` (``model_not_found``) and ``Gone`` (``version_retired``).
    """
    for model in _models(table, catalog, virtuals.names):
        if model["id"] == name:
            return model
        is_base = name == BASE and model["kind"] == "base"
        if is_base or ("digest" in model and name == _whole(model)):
            return {**model, "id": name, "display_name": name}
    means = virtuals.of(name, table)
    if means is not None:
        return _entry(name, kind="virtual", root=means[0])
    alias, _, digest = name.partition("@")
    retired = table.aliases[alias].retired if alias in table.aliases else ()
    if any(digest in {full, full[:DIGEST_PREFIX_LENGTH]} for full in retired):
        raise Gone(
            f"{name!r} was retired. GET /v1/models lists what there is.",
            code="version_retired",
            param="model",
        )
    raise NotFound(
        f"The model {name!r} does not exist. GET /v1/models lists what does.",
        code="model_not_found",
        param="model",
    )


def _whole(version: Mapping[str, Any]) -> str:
    """A version's name with its whole digest, which requests may say as well."""
    alias = str(version["root"]).partition("@")[0]
    return f"{alias}@{version['digest']}"


def _models(
    table: RoutingTable, catalog: Catalog, virtual: Sequence[str]
) -> Iterator[dict[str, Any]]:
    yield _entry(AUTO, kind="auto")
    for name in virtual:
        yield _entry(name, kind="virtual")
    if table.base_id:
        yield _entry(table.base_id, kind="base", max_model_len=table.max_model_len)
    taken = {AUTO, BASE, table.base_id, *virtual}
    for alias in table.aliases.values():
        yield from _alias(table, alias, named=alias.name not in taken)
    for name, frontier in catalog.frontiers.items():
        owner, window = name.partition("/")[0], frontier.card.context_window
        listed = frontier.price_list
        yield _entry(
            name,
            kind="frontier",
            owned_by=owner,
            max_model_len=window,
            price_list=None if listed is None else listed.read.isoformat(),
        )


def _alias(table: RoutingTable, alias: Alias, *, named: bool) -> Iterator[dict[str, Any]]:
    """An alias whose name means something else is called by its versions only."""
    if alias.live is not None and named:
        root = engine_name(alias.name, alias.live)
        yield _entry(alias.name, kind="adapter", parent=table.base_id, root=root)
    for digest in alias.versions:
        name = engine_name(alias.name, digest)
        yield _entry(name, kind="version", parent=table.base_id, digest=digest)


def _entry(name: str, **facts: Any) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "type": "model",
        "display_name": name,
        "created": _STARTED,
        "created_at": _STARTED_AT,
        "owned_by": _OWNER,
        "root": name,
        "parent": None,
        **facts,
    }


@dataclass(frozen=True)
class Models:
    """Where names come from."""

    holder: TableHolder
    catalog: Catalog
    virtuals: Virtuals


async def _list(models: Models, _: Request) -> Response:
    """Everything that `model` may name now."""
    return JSONResponse(list_models(models.holder.current, models.catalog, models.virtuals.names))


async def _one(models: Models, request: Request) -> Response:
    """One of them."""
    name = request.path_params["id"]
    return JSONResponse(find_model(models.holder.current, models.catalog, models.virtuals, name))


RESOURCES: tuple[Resource[Models], ...] = (
    Resource("inference", "GET", "/v1/models", _list),
    Resource("inference", "GET", "/v1/models/{id:path}", _one),
)
