"""Azure's OpenAI: OpenAI's API below a resource's name, with another header for the key.

https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle: the ``v1`` API names the
deployment as the model; before it, a path names it and a query the version of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from router.wire.dialects.openai import OpenAI
from router.wire.endpoint import Endpoint

_V1: Final = "/openai/v1"


class Azure(OpenAI):
    """Azure OpenAI; a model's id is its deployment's name."""

    name = "azure"
    versions = True

    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """``https://<resource>.openai.azure.com``, with or without ``/openai/v1``."""
        return _root(base_url) + _V1 + _path(endpoint)

    def versioned(self, base_url: str, endpoint: Endpoint, model: str, api_version: str, /) -> str:
        """Below the deployment; but Responses names it as the model."""
        query = urlencode({"api-version": api_version})
        if endpoint is Endpoint.RESPONSES:
            return f"{_root(base_url)}/openai{_path(endpoint)}?{query}"
        deployment = quote(model, safe="")
        return f"{_root(base_url)}/openai/deployments/{deployment}{_path(endpoint)}?{query}"

    def credentials(self, key: str) -> Mapping[str, str]:
        """A header of its own; a token of Entra ID is a bearer token, as anywhere."""
        if key.count(".") == 2 and key.startswith("eyJ"):
            return super().credentials(key)
        return {"api-key": key}


def _root(base_url: str) -> str:
    return base_url.removesuffix(_V1).removesuffix("/openai")


def _path(endpoint: Endpoint) -> str:
    return endpoint.value.removeprefix("/v1")


DIALECT = Azure()
