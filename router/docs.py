"""The reference, made from the table itself: OpenAPI, and a page that fetches nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from html import escape
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from adapters.resources import Described, ErrorAnswer, Resource, description

_ADMIN = "/admin/"
_PAGES = "/console"
"""What people look at is its own reference."""
_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_MODEL = (
    "<code>model</code>: <code>auto</code> (the router decides), the base's id, "
    "<code>alias</code>, <code>alias@digest12</code> (that version or an error), or "
    "<code>provider/model</code>. "
    "Further fields pass through to the target untouched; <code>graftwork: {max_cost_usd, session, "
    "timeout_ms, intent, fallback}</code> or the headers <code>x-graftwork-*</code> state the "
    "caller's own limits."
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "td{padding:.3rem .8rem .3rem 0;vertical-align:top}code{background:#8882;padding:0 .2rem}"
)


def resources(rows: Iterable[Resource[Any]]) -> list[Resource[None]]:
    """The reference's own rows, for a table of these."""
    listed = sorted(rows, key=lambda row: row.path)
    admin = [row for row in listed if row.path.startswith(_ADMIN)]
    data = [row for row in listed if not row.path.startswith((_ADMIN, _PAGES))]
    return [
        Resource("open", "GET", "/docs", _Page("Graftwork API", data, _MODEL)),
        Resource("open", "GET", "/openapi.json", _Document("Graftwork", data)),
        Resource("open", "GET", "/admin/v1/docs", _Page("Graftwork admin plane", admin, "")),
        Resource("open", "GET", "/admin/v1/openapi.json", _Document("Graftwork admin", admin)),
    ]


class _Page:
    """The reference for people."""

    def __init__(self, title: str, rows: list[Resource[Any]], words: str) -> None:
        lines = "".join(
            f"<tr><td>{row.method}</td><td><code>{escape(_path(row))}</code></td>"
            f"<td>{escape(_summary(row))}{_asked(row)}</td></tr>"
            for row in rows
        )
        self._html = (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
            f"<style>{_STYLE}</style><h1>{title}</h1><p>{words}</p><table>{lines}</table>"
            '<p>Everything: <a href="/docs">/docs</a>, <a href="/admin/v1/docs">/admin/v1/docs</a>.'
            ' Machine-readable: <a href="/openapi.json">/openapi.json</a>, '
            '<a href="/admin/v1/openapi.json">/admin/v1/openapi.json</a>.</p></html>'
        )

    async def __call__(self, _: None, __: Request) -> Response:
        return HTMLResponse(self._html)


class _Document:
    """The reference for programs."""

    def __init__(self, title: str, rows: list[Resource[Any]]) -> None:
        self._title = title
        self._rows = rows

    @cached_property
    def _json(self) -> bytes:
        """Made when it is asked for first: a start need not wait for it."""
        return orjson.dumps(_openapi(self._title, self._rows))

    async def __call__(self, _: None, __: Request) -> Response:
        return Response(self._json, media_type="application/json")


def _summary(row: Resource[Any]) -> str:
    return (row.handler.__doc__ or "").partition("\n")[0]


def _path(row: Resource[Any]) -> str:
    return _PARAMETER.sub(r"{\1}", row.path)


def _asked(row: Resource[Any]) -> str:
    asked = description(row.handler).query
    words = "; ".join(f"<code>?{escape(n)}=</code> {escape(w)}" for n, w in asked.items())
    return f"<br><small>{words}</small>" if words else ""


def _openapi(title: str, rows: list[Resource[Any]]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(_path(row), {})[row.method.lower()] = _operation(row)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "v1"},
        "components": {
            "schemas": _schemas(rows),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
        "paths": paths,
    }


def _schemas(rows: list[Resource[Any]]) -> dict[str, Any]:
    models: set[type[BaseModel]] = {ErrorAnswer}
    for row in rows:
        said = description(row.handler)
        models |= {model for model in said.answers.values() if not isinstance(model, str)}
        models |= {said.body} if said.body is not None else set()
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schema = models_json_schema(
        [(model, "serialization") for model in ordered], ref_template=_REF
    )
    found: dict[str, Any] = schema["$defs"]
    return found


def _operation(row: Resource[Any]) -> dict[str, Any]:
    said = description(row.handler)
    answers = {200: "Success."} if not said.answers else dict(said.answers)
    operation: dict[str, Any] = {
        "summary": _summary(row),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(row.path)
        ]
        + [
            {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
            for name, words in said.query.items()
        ],
        "responses": {
            **{str(status): _response(status, answer) for status, answer in answers.items()},
            "default": _response(400, ErrorAnswer),
        },
    }
    if row.method in {"POST", "PUT"}:
        operation["requestBody"] = {"required": True, "content": _content(said)}
    return operation


def _response(status: int, answer: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        if status < 400:
            return {"description": answer}
        error = {"schema": _reference(ErrorAnswer)}
        return {"description": answer, "content": {"application/json": error}}
    words = (answer.__doc__ or "").partition("\n")[0]
    schema = {"schema": _reference(answer)}
    return {"description": words, "content": {"application/json": schema}}


def _content(said: Described) -> dict[str, Any]:
    schema = {"type": "object"} if said.body is None else _reference(said.body)
    return {"application/json": {"schema": schema}, **said.content}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
