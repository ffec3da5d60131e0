"""The data plane's reference: an OpenAPI document, and a page that needs nothing from outside."""

from __future__ import annotations

from html import escape
from typing import Any

_OPENAI = "OpenAI's API reference"
_ROUTES: tuple[tuple[str, str, str], ...] = (
    ("POST", "/v1/chat/completions", f"Chat, streamed or whole. Body and answer: {_OPENAI}."),
    ("POST", "/v1/completions", f"Text completion. Body and answer: {_OPENAI}."),
    ("POST", "/v1/responses", f"Responses. Body and answer: {_OPENAI}."),
    ("POST", "/v1/messages", "Messages. Body and answer: Anthropic's API reference."),
    ("POST", "/v1/embeddings", f"Embeddings, by a target that has them. Body: {_OPENAI}."),
    ("GET", "/v1/models", "Everything that `model` may name now."),
    ("GET", "/v1/models/{id}", "One of them."),
    ("POST", "/v1/decision", "A chat body: the decision that would be taken; calls nobody."),
    (
        "POST",
        "/v1/feedback",
        "{decision_id, kind: boolean|float|comment|demonstration, value} about an answer.",
    ),
    ("GET", "/healthz", "The process is up."),
    ("GET", "/readyz", "The base, and every adapter that fits, are resident; cold ones are named."),
    ("GET", "/metrics", "Prometheus: routers, registry and engines in one scrape."),
    ("GET", "/admin/v1/decisions", "Newest decision records; `?limit=&since=&target=&tenant=`."),
    ("GET", "/admin/v1/decisions/{id}", "One decision record, with its feedback."),
    (
        "GET",
        "/admin/v1/usage",
        "Requests, tokens and money, `?since=&until=&by=key,tenant,route,target`; running budgets.",
    ),
    ("GET", "/admin/v1/docs", "The rest of the admin plane: adapters, replicas, events."),
)
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


def _html() -> bytes:
    rows = "".join(
        f"<tr><td>{method}</td><td><code>{escape(path)}</code></td><td>{escape(what)}</td></tr>"
        for method, path, what in _ROUTES
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Graftwork API</title>"
        f"<style>{_STYLE}</style><h1>Graftwork API</h1><p>{_MODEL}</p><table>{rows}</table>"
        '<p>Machine-readable: <a href="/openapi.json">/openapi.json</a>, '
        '<a href="/admin/v1/openapi.json">/admin/v1/openapi.json</a>.</p></html>'
    ).encode()


def _operation(method: str, what: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": what,
        "responses": {
            "200": {"description": "Success."},
            "default": {
                "description": "An error in OpenAI's envelope.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if method == "POST":
        schema = {"type": "object", "additionalProperties": True}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _openapi() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for method, path, what in _ROUTES:
        operation = _operation(method, what)
        if "{id}" in path:
            operation["parameters"] = [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
            ]
        paths.setdefault(path, {})[method.lower()] = operation
    text = {"type": "string"}
    error = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": text,
                    "type": text,
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Graftwork", "version": "v1"},
        "components": {
            "schemas": {"Error": error},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
        "paths": paths,
    }


DOCS_HTML = _html()
OPENAPI = _openapi()
