"""What a run of the matrix must not leave anywhere, and how it is seen."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.asgi_client import Reply
from tests.fakes.standins import STANDINS


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Looking for garbage among thousands of models and answers is a fifth of all the work."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def errors_logged() -> Iterator[list[str]]:
    """Everything that is logged as an error, or with a key in it."""
    found: list[str] = []
    handler = logging.Handler()

    def note(record: logging.LogRecord) -> None:
        text = logging.Formatter().format(record) + repr(record.__dict__)
        is_ours = not record.name.startswith("aiohttp")  # a stand-in whose client left
        if (record.levelno >= logging.ERROR and is_ours) or any(
            secret in text for secret in _secrets()
        ):
            found.append(text)

    handler.emit = note  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield found
    finally:
        root.removeHandler(handler)


def _secrets() -> list[str]:
    return [secret for standin in STANDINS.values() for secret in standin.secrets]


def seen_in(replies: Iterable[Reply]) -> Iterator[str]:
    """Replies that have a key in them."""
    secrets = _secrets()
    for reply in replies:
        text = reply.body.decode(errors="replace") + repr(reply.headers)
        if any(secret in text for secret in secrets):
            yield f"a reply: {text[-600:]}"


def seen_below(folder: Path) -> Iterator[str]:
    """Files that have a key in them."""
    secrets = [secret.encode() for secret in _secrets()]
    for path in folder.rglob("*"):
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets):
            yield str(path)
