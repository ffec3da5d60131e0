"""The one file of a multipart form, written to its place as it arrives: nothing is spooled."""

from __future__ import annotations

from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from adapters.resources import BadField

_MAX_HEADER_BYTES = 8 * 1024
_FIELD = b"file"


class FormFile:
    """Feed it a form's bytes; the file named ``file`` goes to ``target``.

    Raises ``BadField`` for what is no such form.
    """

    def __init__(self, content_type: str, target: BinaryIO) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise BadField("the form has no boundary", "file", code="bad_request")
        self._target = target
        self._field = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._here = False
        self._found = False
        self._over = False
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._collect(self._field),
            "on_header_value": self._collect(self._value),
            "on_header_end": self._header,
            "on_headers_finished": self._headers,
            "on_part_data": self._data,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def write(self, piece: bytes) -> None:
        """Take the next bytes. Blocks on the disk."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise BadField(
                f"the form cannot be read: {error}", "file", code="bad_request"
            ) from error

    def close(self) -> None:
        """The form has ended: it must have been whole, with the file."""
        if not self._found:
            raise BadField('the form has no file named "file"', "file", code="bad_request")
        if not self._over:
            raise BadField("the form was cut", "file", code="bad_request")

    def _collect(self, into: bytearray) -> Any:
        def collect(data: bytes, start: int, end: int) -> None:
            into.extend(data[start:end])
            if len(into) > _MAX_HEADER_BYTES:
                raise BadField("a header of the form is too long", "file", code="bad_request")

        return collect

    def _begin(self) -> None:
        self._disposition, self._here = b"", False

    def _header(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _headers(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if options.get(b"name") == _FIELD and b"filename" in options:
            if self._found:
                raise BadField("the form has more than one file", "file", code="bad_request")
            self._here = self._found = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._here:
            self._target.write(data[start:end])

    def _end(self) -> None:
        self._over = True
