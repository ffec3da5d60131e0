"""What stands for persons in the corpus: hashed under the registry's key, on every machine.

Each machine's log has a key of its own; the corpus is one, and what is asked of it has to find what
any router captured.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from adapters.records.subjects import Subjects
from router.replicas.table import TableHolder
from serving.internal.client import InternalClient, Unanswered
from serving.internal.paths import SUBJECTS

_TIMEOUT_S: Final = 5.0
_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_log = logging.getLogger("graftwork.router")


class CorpusPersons:
    """Asks the registry for its key, once."""

    def __init__(self, holder: TableHolder, client: InternalClient) -> None:
        self._holder = holder
        self._client = client
        self._subjects: Subjects | None = None

    def hash(self, person: str) -> str:
        """A keyed hash. Raises ``OSError`` before ``known`` returned."""
        if self._subjects is None:
            raise OSError("the registry has not said yet what stands for persons")
        return self._subjects.hash(person)

    async def known(self) -> None:
        """Wait until the registry said it."""
        pause_s = _PAUSE_S
        while self._subjects is None:
            key = await self._asked()
            if key is not None:
                self._subjects = Subjects.under(key)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _asked(self) -> bytes | None:
        registry = self._holder.current.registry
        if registry is None:
            return None
        try:
            answer = await self._client.ask(registry, "GET", SUBJECTS, timeout_s=_TIMEOUT_S)
        except Unanswered as error:
            _log.info("persons are not known yet: %s", error.silence)
            return None
        return answer.body if answer.status == 200 else None
