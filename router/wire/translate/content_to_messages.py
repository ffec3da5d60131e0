"""The content of a chat message as Messages' content blocks."""

from __future__ import annotations

import base64
import re
from typing import Any

from router.wire.translate.vocabulary import malformed, records, unsupported

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)


def content_blocks(content: object, param: str) -> list[dict[str, Any]]:
    """Blocks for a message's content; empty text gives none, since Messages refuses it.

    Raises:
        InvalidRequest: a part is malformed or of a kind that Messages does not know.
    """
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    blocks = []
    for number, part in enumerate(records(content, f"{param}.content")):
        block = _block(part, f"{param}.content.{number}")
        if block is not None:
            blocks.append(block)
    return blocks


def system_blocks(content: object, param: str) -> list[dict[str, Any]]:
    """Blocks for a system message: text only."""
    blocks = content_blocks(content, param)
    if any(block["type"] != "text" for block in blocks):
        raise malformed(f"{param}.content", "text in a system message")
    return blocks


def _block(part: dict[str, Any], param: str) -> dict[str, Any] | None:
    kind = str(part.get("type"))
    if kind in {"text", "refusal"}:
        block = _text(part.get(kind), f"{param}.{kind}")
    elif kind == "image_url":
        block = {"type": "image", "source": _image(part.get("image_url"), param)}
    elif kind == "file":
        block = _document(part.get("file"), param)
    else:
        raise unsupported(param, f"is of type {kind!r}, which this model does not take")
    if block is not None and "cache_control" in part:
        block["cache_control"] = part["cache_control"]
    return block


def _text(found: object, param: str) -> dict[str, Any] | None:
    if not isinstance(found, str):
        raise malformed(param, "a string")
    return {"type": "text", "text": found} if found else None


def _image(found: object, param: str) -> dict[str, str]:
    url = found.get("url") if isinstance(found, dict) else found
    if not isinstance(url, str):
        raise malformed(f"{param}.image_url", "an object with a url")
    if url.startswith(("http://", "https://")):
        return {"type": "url", "url": url}
    return _base64(url, f"{param}.image_url")


def _document(found: object, param: str) -> dict[str, Any]:
    file = found if isinstance(found, dict) else {}
    data, name = file.get("file_data"), file.get("filename")
    if not isinstance(data, str):
        raise unsupported(param, "must carry `file_data`: this model knows no uploaded files")
    source = _base64(data, f"{param}.file.file_data")
    if source["media_type"] == "text/plain":  # Messages takes it as text only
        source = {"type": "text", "media_type": "text/plain", "data": _plain(source, param)}
    block: dict[str, Any] = {"type": "document", "source": source}
    return {**block, "title": name} if isinstance(name, str) and name else block


def _plain(source: dict[str, str], param: str) -> str:
    try:
        return base64.b64decode(source["data"], validate=True).decode()
    except ValueError as error:
        raise malformed(f"{param}.file.file_data", "UTF-8 text in base64") from error


def _base64(url: str, param: str) -> dict[str, str]:
    match = _DATA_URL.fullmatch(url)
    if match is None:
        raise malformed(param, "an http URL or a base64 data URL")
    return {"type": "base64", "media_type": match[1], "data": match[2]}
