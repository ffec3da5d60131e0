"""Puts checkpoints where who can change the log cannot reach: a file, a bucket, a webhook.

Only the newest one is put each time, since it covers all before it. What fails is tried again; no
request waits for it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import obstore
import rfc8785
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, from_url

from adapters.atomic import sync, write_all
from adapters.records import checkpoints
from adapters.records.checkpoints import Checkpoint
from adapters.records.config import LOOPBACK, anchor_kind
from adapters.records.files import Layout

_TIMEOUT_S = 10.0
_ODD = re.compile(r"[^0-9TZ]")


class NotAnchored(Exception):
    """A checkpoint was not put; the message says why and holds no credentials."""


class Anchor(Protocol):
    """Where checkpoints go."""

    def put(self, checkpoint: Mapping[str, Any]) -> None:
        """Have one kept. Raises ``NotAnchored``. The same one may be put twice."""
        ...


class AnchorFile:
    """A file that is appended to, one checkpoint a line: on another machine's disk, say."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, checkpoint: Mapping[str, Any]) -> None:
        """Append a line, durably. Raises ``NotAnchored``."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_DSYNC | os.O_CLOEXEC
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, flags, 0o600)
            try:
                write_all(handle, rfc8785.dumps(dict(checkpoint)) + b"\n")
            finally:
                os.close(handle)
            sync(self._path.parent)
        except OSError as error:
            raise NotAnchored(f"{self._path}: {error.strerror}") from error


class AnchorBucket:
    """Object storage: an object for each checkpoint, never written over."""

    def __init__(self, url: str, store: ObjectStore) -> None:
        self._name = urlsplit(url)._replace(netloc=urlsplit(url).hostname or "").geturl()
        self._store = store

    def put(self, checkpoint: Mapping[str, Any]) -> None:
        """Make an object; one that is there already is as good. Raises ``NotAnchored``."""
        time_text = _ODD.sub("", str(checkpoint["time"]))
        name = f"{checkpoint['tree_size']:015d}-{time_text}-{checkpoint['root'][:12]}.json"
        try:
            with suppress(AlreadyExistsError):
                obstore.put(self._store, name, rfc8785.dumps(dict(checkpoint)), mode="create")
        except (BaseError, OSError) as error:
            raise NotAnchored(f"{self._name}: {type(error).__name__}") from error


class AnchorWebhook:
    """An address that takes each checkpoint as JSON and answers 2xx."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""

    def put(self, checkpoint: Mapping[str, Any]) -> None:
        """POST it. Raises ``NotAnchored``."""
        try:
            answer = httpx.post(
                self._url,
                content=rfc8785.dumps(dict(checkpoint)),
                headers={"content-type": "application/json"},
                timeout=_TIMEOUT_S,
                trust_env=self._host not in LOOPBACK,
            )
        except httpx.HTTPError as error:
            raise NotAnchored(f"{self._host}: {type(error).__name__}") from error
        if not answer.is_success:
            raise NotAnchored(f"{self._host} answered {answer.status_code}")


def open_anchor(place: str) -> Anchor:
    """What a configuration names. Raises ``ValueError`` for what is none."""
    kind = anchor_kind(place)
    if kind == "file":
        return AnchorFile(Path(place).expanduser())
    if kind == "webhook":
        return AnchorWebhook(place)
    scheme = urlsplit(place).scheme
    options: dict[str, Any] = {"mkdir": True} if scheme == "file" else {}
    if scheme in {"s3", "s3a"}:
        # A bucket with object lock takes nothing without a checksum.
        options = {"aws_checksum_algorithm": "sha256"}
    try:
        return AnchorBucket(place, from_url(place, **options))
    except (BaseError, ValueError, TypeError) as error:
        raise ValueError(f"audit.anchor: the bucket cannot be opened: {error}") from error


class Anchoring:
    """Puts the newest checkpoint of one log, if it was not put before. Blocks: for a thread.

    ``anchor``: None puts nothing.
    """

    def __init__(
        self, layout: Layout, anchor: Anchor | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._layout = layout
        self._anchor = anchor
        self._clock = clock
        self._put: Checkpoint | None = None
        self._behind_since_s: float | None = None

    @property
    def behind_s(self) -> float:
        """How long there has been a checkpoint that was not put, seconds."""
        since_s = self._behind_since_s
        return 0.0 if since_s is None else max(self._clock() - since_s, 0.0)

    def once(self) -> None:
        """Put it. Raises ``NotAnchored``, ``OSError``."""
        newest = checkpoints.newest(self._layout)
        if self._anchor is None or newest is None or newest == self._put:
            return
        if self._behind_since_s is None:
            self._behind_since_s = self._clock()
        self._anchor.put(newest.document)
        self._put, self._behind_since_s = newest, None
