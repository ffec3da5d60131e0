"""What the registry may keep of texts, and what stands in it for persons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters.records.sealing import AUDIT
from adapters.records.subjects import Subjects
from router.govern.detectors import detectors
from router.govern.governance import Governance
from serving.config.settings import Settings
from serving.router.name_models import name_detector


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

    @property
    def key(self) -> bytes:
        """What ``hashed`` hashes under; for this system's own processes."""
        return self._subjects.key

    def hashed(self, subject: str) -> str:
        """What stands for a person in all that is kept."""
        return self._subjects.hash(subject)
