"""``/v1/embeddings``: never streamed, never continued."""

from __future__ import annotations

from router.wire.endpoint import Endpoint
from router.wire.formats.base import Body, Format


class Embeddings(Format):
    """OpenAI's embeddings."""

    endpoint = Endpoint.EMBEDDINGS
    generates = False
    takes_many = True

    def is_answer(self, found: Body) -> bool:
        """It has vectors."""
        return isinstance(found.get("data"), list)
