"""A form with one file, in memory: nothing of a document is spooled to a disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_FILE: Final = "file"
_MAX_HEADER_BYTES: Final = 8 * 1024
_MAX_FIELDS: Final = 32
_MAX_FIELD_BYTES: Final = 64 * 1024


class BadForm(ValueError):
    """It is no such form."""


@dataclass
class Form:
    """What a form says."""

    fields: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    """Of the file; None: there was none."""
    media_type: str = ""
    content: bytes = b""


class _Part:
    def __init__(self) -> None:
        self.headers: dict[str, bytes] = {}
        self.data = bytearray()
        self.field = bytearray()
        self.value = bytearray()


def read_form(content_type: str, raw: bytes) -> Form:
    """A ``multipart/form-data`` body. Raises ``BadForm``."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise BadForm("the form has no boundary")
    reader = _Reader()
    try:
        parser = MultipartParser(boundary, reader.callbacks)
        parser.write(raw)
        parser.finalize()
    except FormParserError as error:
        raise BadForm(f"the form cannot be read: {error}") from error
    if not reader.over:
        raise BadForm("the form was cut")
    if reader.form.name is None:
        raise BadForm('the form has no file named "file"')
    return reader.form


class _Reader:
    def __init__(self) -> None:
        self.form = Form()
        self.over = False
        self._part = _Part()
        self.callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._collect(
                self._part.field, data[start:end], _MAX_HEADER_BYTES
            ),
            "on_header_value": lambda data, start, end: self._collect(
                self._part.value, data[start:end], _MAX_HEADER_BYTES
            ),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._part.data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._over,
        }

    def _begin(self) -> None:
        self._part = _Part()

    def _collect(self, into: bytearray, piece: bytes, limit: int) -> None:
        into.extend(piece)
        if len(into) > limit:
            raise BadForm("a header of the form is too long")

    def _header(self) -> None:
        part = self._part
        name = part.field.decode("latin-1").lower()
        part.headers[name] = bytes(part.value)
        part.field.clear()
        part.value.clear()

    def _end(self) -> None:
        part = self._part
        options = parse_options_header(part.headers.get("content-disposition", b""))[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == _FILE and b"filename" in options:
            if self.form.name is not None:
                raise BadForm("the form has more than one file")
            self.form.name = options[b"filename"].decode("utf-8", "replace")
            self.form.media_type = part.headers.get("content-type", b"").decode("latin-1")
            self.form.content = bytes(part.data)
            return
        if len(self.form.fields) >= _MAX_FIELDS or len(part.data) > _MAX_FIELD_BYTES:
            raise BadForm("the form has too many fields, or too long ones")
        self.form.fields[name] = part.data.decode("utf-8", "replace")

    def _over(self) -> None:
        self.over = True
