"""The content-addressed store as the settings name it; the registry writes it, engines read it."""

from __future__ import annotations

from pathlib import Path

from adapters.store.objects import open_store
from adapters.store.parcels import Parcels, open_parcels
from adapters.store.store import VersionStore
from serving.config.settings import Settings


def open_waiting(settings: Settings, folder: Path) -> Parcels | None:
    """Where pushes that wait lie besides ``folder``, for other nodes. Raises ``StoreError``."""
    config = settings.adapters_here()
    assert config.content is not None
    return open_parcels(config.content, settings.state_dir.absolute(), folder)


def open_content(settings: Settings) -> VersionStore:
    """Open the store; what lies elsewhere is staged on this node. Raises ``StoreError``."""
    config = settings.adapters_here()
    assert config.content is not None
    return open_store(
        config.content,
        settings.state_dir.absolute() / "staged",
        config.staging,
        max_version_bytes=config.preflight.max_total_bytes,
    )
