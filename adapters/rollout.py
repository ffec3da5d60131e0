"""The adapter's path: push, preflight, store, prepare, probe, commit, drain, retire.

``Rollout`` is its table of contents. The database transaction in ``Registry.commit`` is the one point
where a publish happens: before it everything is undone on failure and the alias is untouched; after it
nothing can fail, only lag. A process that dies in between is continued by ``resume``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from adapters import journey
from adapters.base_model import BaseFacts
from adapters.config import AdaptersConfig
from adapters.errors import (
    AdapterError,
    Conflict,
    ManifestError,
    NothingToRollBack,
    RejectedError,
    StoreError,
)
from adapters.events import EventBus
from adapters.fleet import Fleet
from adapters.lifecycle import CALLABLE, UNFINISHED, State
from adapters.loading import Loader
from adapters.locks import KeyedLocks
from adapters.manifest import Manifest, digest_directory
from adapters.names import validate_alias
from adapters.registry import Plan, Registry, Stage, VersionRecord
from adapters.store import Store
