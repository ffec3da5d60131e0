"""Files of JSON lines, as somebody sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request

from adapters.resources import BadField

LINES: Final = "application/x-ndjson"
_KINDS: Final = frozenset(
    {"", LINES, "application/jsonl", "application/x-jsonlines", "application/json"}
    | {"application/octet-stream", "text/plain"}
)
_MB: Final = 2**20


async def pieces(
    request: Request, max_mb: float, setting: str, *, remedy: str = ""
) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises ``BadField`` for what is no JSON lines, or too large.

    Args:
        request: whose body it is.
        max_mb: its bound, MiB.
        setting: where that is configured.
        remedy: what else to do about a file that is too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _KINDS:
        raise BadField(
            f"Send JSON lines as {LINES}, not {kind}.",
            "content-type",
            code="unsupported_media_type",
            status=415,
        )
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > max_mb * _MB:
            raise BadField(
                f"The file is larger than {setting} ({max_mb:g} MiB)."
                + (f" {remedy}" if remedy else ""),
                None,
                code="request_too_large",
                status=413,
            )
        yield piece
