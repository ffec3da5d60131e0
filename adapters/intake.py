"""From bytes that arrived to a version in the store: preflight, then the content-addressed store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from adapters.base_model import BaseFacts
from adapters.config import AdaptersConfig
from adapters.errors import AdapterError, CheckResult, FleetError, ManifestError, RejectedError
from adapters.ledger import Ledger
from adapters.lifecycle import State
from adapters.registry import VersionRecord
from adapters.store import Store

_LOOK_FOR_BASE_S = 0.2


class Intake:
    """Decides whether a version may be stored, away from any engine."""

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        base: Callable[[], BaseFacts | None],
        config: AdaptersConfig,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._base = base
        self._config = config

