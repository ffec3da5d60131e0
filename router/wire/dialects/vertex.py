"""Gemini's API on Google Cloud's Vertex AI: the same bodies below a project and a region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from router.wire.dialects.gemini import Gemini
from router.wire.endpoint import Endpoint

_VERSION: Final = "/v1"
_API_KEYS: Final = ("AIza", "AQ.")
_KINDS: Final = frozenset({"publishers", "endpoints"})


class Vertex(Gemini):
    """Vertex AI; a model's id is Google's, ``<publisher>/<model>``, or an endpoint's path."""

    name = "vertex"

    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """``https://<region>-aiplatform.googleapis.com/v1/projects/<id>/locations/<region>``."""
        del endpoint
        return base_url if urlsplit(base_url).path else base_url + _VERSION

    def path(self, model: str, /) -> str:
        """Below its publisher."""
        head, _, name = model.rpartition("/")
        if head.partition("/")[0] not in _KINDS:
            model = f"publishers/{head or 'google'}/models/{name}"
        return quote(model, safe="/")

    def credentials(self, key: str) -> Mapping[str, str]:
        """A bearer token, or an API key in a header of its own."""
        if key.startswith(_API_KEYS):
            return super().credentials(key)
        return {"Authorization": f"Bearer {key}"}


DIALECT = Vertex()
