"""What a page's form sent, bounded before it is read."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qsl

from starlette.requests import Request

from router.errors import InvalidRequest, TooLarge, TooSlow

_MAX_FIELDS = 200
_SMALL_BYTES = 64 * 1024
_AT_ONCE = 4
_WITHIN_S = 60.0


class Forms:
    """Reads forms into memory: large ones a few at a time, none for longer than ``within_s``."""

    def __init__(self, within_s: float = _WITHIN_S) -> None:
        self._within_s = within_s
        self._large = asyncio.Semaphore(_AT_ONCE)

    async def read(self, request: Request, most: int) -> tuple[dict[str, str], tuple[bytes, str]]:
        """The fields; of a form with a file its bytes instead. Raises ``RouterError``."""
        kind = request.headers.get("content-type", "")
        turn = self._large if most > _SMALL_BYTES else contextlib.nullcontext()
        try:
            async with asyncio.timeout(self._within_s), turn:
                raw = await _body(request, most)
        except TimeoutError as error:
            raise TooSlow("The form did not arrive in time.") from error
        if kind.lower().startswith("multipart/form-data"):
            return {"do": "upload"}, (raw, kind)
        return _fields(raw), (b"", "")


async def _body(request: Request, most: int) -> bytes:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > most:
            raise TooLarge(f"The form is larger than {most} bytes.")
    return bytes(raw)


def _fields(raw: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise InvalidRequest("The form has too many fields.") from error
    # Browsers send lines that end in CR LF, whatever was typed or shown.
    return {name: value.replace("\r\n", "\n") for name, value in pairs}
