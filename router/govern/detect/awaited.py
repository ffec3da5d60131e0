"""A detector that takes its time: loaded and run in a thread, and what it found is remembered."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from router.embed.threads import Busy, Threads
from router.govern.detect import Detector, DetectorUnavailable, Span, TextTooLong

MAX_CHARS: Final = 512 * 1024
"""Of one text that are read: half a minute of one core would be too long to wait for."""
_KEPT: Final = 65_536
_WAITING: Final = 512
_ANY_TEXT: Final = "My name is Ann."


class Awaited:
    """Runs ``load``'s detector in one thread: one text at a time, so that others keep their core.

    A conversation's earlier messages come again with each request: the newest texts' findings are
    remembered, by a keyed hash of the text: what was said stays in nobody's memory.

    Args:
        name: of the thread, and in errors.
        load: makes the detector, in the thread; what it raises is given to whoever asks.
        kept: how many texts are remembered at most, and how many findings in all of them.
    """

    def __init__(self, name: str, load: Callable[[], Detector], kept: int = _KEPT) -> None:
        self._name = name
        self._load = load
        self._threads = Threads(name, 1, _WAITING)
        self._detector: Detector | None = None
        self._failure: Exception | None = None
        self._loading: asyncio.Task[None] | None = None
        self._known: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()
        self._secret = secrets.token_bytes(32)
        self._kept = kept
        self._spans = 0

    @property
    def ready(self) -> bool:
        """Whether it is loaded."""
        return self._detector is not None

    async def start(self) -> None:
        """Load it. Raises ``DetectorUnavailable``; several may call it at once."""
        if self._detector is not None:
            return
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._loaded())
        await asyncio.shield(self._loading)
        if self._failure is not None:
            raise self._unavailable()

    def _unavailable(self) -> DetectorUnavailable:
        return DetectorUnavailable(f"{self._name}: {self._failure}")

    def _warm(self) -> Detector:
        """Loaded, and used once: what is loaded with the first text is no request's to wait for."""
        detector = self._load()
        detector.find(_ANY_TEXT)
        return detector

    async def _loaded(self) -> None:
        try:
            self._detector = await self._threads.run(self._warm)
            self._failure = None
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asks is told
            self._failure = error

    async def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """What is in each text; waits until it is loaded.

        Raises:
            DetectorUnavailable: it cannot be loaded, failed on a text, or too much waits.
            TextTooLong: one is longer than it reads.
        """
        if any(len(text) > MAX_CHARS for text in texts):
            raise TextTooLong(f"a text of more than {MAX_CHARS:,} characters is not read")
        if self._failure is not None and not self.ready:
            raise self._unavailable()  # ``start`` tries again, not every request
        await self.start()
        found: list[list[Span]] = []
        for text in texts:
            raw = text.encode(errors="surrogatepass")
            key = hashlib.blake2b(raw, key=self._secret, digest_size=24).digest()
            known = self._known.get(key)
            if known is None:
                known = await self._read(text)
                self._remember(key, known)
            else:
                self._known.move_to_end(key)
            found.append(list(known))
        return found

    async def _read(self, text: str) -> tuple[Span, ...]:
        detector = self._detector
        if detector is None:
            raise DetectorUnavailable(f"{self._name} is not loaded")
        try:
            return tuple(await self._threads.run(lambda: detector.find(text)))
        except Busy as error:
            raise DetectorUnavailable(f"{self._name}: too many texts wait") from error
        except TextTooLong:
            raise
        except Exception as error:
            raise DetectorUnavailable(f"{self._name} failed: {type(error).__name__}") from error

    def _remember(self, key: bytes, found: tuple[Span, ...]) -> None:
        if key in self._known:
            return
        self._known[key] = found
        self._spans += len(found)
        while self._spans > self._kept or len(self._known) > self._kept:
            _, oldest = self._known.popitem(last=False)
            self._spans -= len(oldest)

    def close(self) -> None:
        """Wait for what is running; what waits is dropped, and nothing is remembered."""
        self._threads.close()
        self._known.clear()
        self._spans = 0
