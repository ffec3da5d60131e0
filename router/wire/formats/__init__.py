"""The formats of the public endpoints: one object each, and nobody else switches on an endpoint.

A format knows what a body, a stream and an error of its API look like: where a stream ends, where
tokens are counted, what is content, what was said so far, how another answer is joined to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.wire.endpoint import Endpoint
from router.wire.formats.base import Format
from router.wire.formats.chat import Chat, Completions
from router.wire.formats.embeddings import Embeddings
from router.wire.formats.messages import Messages
from router.wire.formats.responses import Responses

FORMATS: Mapping[Endpoint, Format] = {
    each.endpoint: each for each in (Chat(), Completions(), Responses(), Messages(), Embeddings())
}
"""By endpoint."""
