"""Azure OpenAI on loopback: OpenAI's API at a resource's paths, with Azure's own header."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.fakes.frontier import FakeFrontier
from tests.fakes.frontier_answers import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES

_ENDPOINTS = (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS)


class FakeAzure(FakeFrontier):
    """The server; a context manager. It has the ``v1`` API, and the older one by deployment."""

    paths = tuple(
        before + endpoint.removeprefix("/v1")
        for before in ("/openai/v1", "/openai/deployments/{model}")
        for endpoint in _ENDPOINTS
    )
    key_headers = ("api-key",)

    def endpoint(self, request: web.Request) -> str:
        """The last parts of the path."""
        return next(each for each in _ENDPOINTS if request.path.endswith(each[3:]))

    async def _answer(
        self, request: web.Request, body: dict[str, Any], fault: Any
    ) -> web.StreamResponse:
        if request.path.startswith("/openai/deployments/") and "api-version" not in request.query:
            return web.json_response({"error": {"code": "404"}}, status=404)
        return await super()._answer(request, body, fault)
