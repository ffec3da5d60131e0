"""What the registry may keep of texts, and what stands in it for persons."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, Final

from adapters.corpus.bringing import BadLine
from adapters.records.sealing import AUDIT
from adapters.records.subjects import Subjects
from router.errors import GuardUnavailable
from router.govern.detectors import detectors
from router.govern.governance import Governance
from serving.config.settings import Settings
from serving.router.name_models import name_detector

_PATIENCE_S: Final = (0.2, 0.5, 1.0, 2.0)


class Redaction:
    """The routers' governance, for what is to be kept. No model is loaded before the first text."""

    def __init__(self, settings: Settings) -> None:
        config = settings.router.governance
        self._names = name_detector(config.pii.names)
        self._subjects = Subjects(settings.state_dir / AUDIT)
        found = detectors(self._names, config.pii.patterns)
        self._governance = Governance(config, found, self._subjects.hash)

    async def kept(self, value: Any) -> Any:
        """A text, or JSON, as it may be kept. Raises ``GuardUnavailable``."""
        return await self._governance.kept(value)

    async def learned_from(self, value: Any, persons: Iterable[str] = ()) -> Any:
        """All of an exchange as it may be kept, given whose it is. Raises ``GuardUnavailable``."""
        return await self._governance.learned_from(value, persons)

    async def patiently(self, value: Any, persons: Iterable[str] = ()) -> Any:
        """The same of what somebody brings or writes, which may wait for a busy machine, and for
        what loads with the first text, as no request does. Raises ``GuardUnavailable``.
        """
        for pause_s in _PATIENCE_S:
            with contextlib.suppress(GuardUnavailable):
                return await self.learned_from(value, persons)
            await asyncio.sleep(pause_s)
        return await self.learned_from(value, persons)

    async def brought(self, value: Any, persons: Iterable[str] = ()) -> Any:
        """The same of one line of many, without which the others go on. Raises ``BadLine``."""
        try:
            return await self.patiently(value, persons)
        except GuardUnavailable as error:
            raise BadLine(
                "what of it must not be kept cannot be told now; send the line again"
            ) from error

    @property
    def key(self) -> bytes:
        """What ``hashed`` hashes under; for this system's own processes."""
        return self._subjects.key

    def hashed(self, subject: str) -> str:
        """What stands for a person in all that is kept."""
        return self._subjects.hash(subject)
