"""The registry's admin plane over the parts of a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.admin.parts import Parts
from adapters.admin.upload import Uploads
from adapters.config import AdaptersConfig
from router.admin import policy
from router.admin.documents import DocumentsAdmin
from router.admin.usage import UsageQuestion
from router.learn.drift import Drift
from router.wire.table import ResourceApp
from serving.config.settings import Settings
from serving.registry import admin
from serving.registry.documents import open_library
from tests.fakes.adapter_path import AdapterPath


class NoBooks:
    """Nobody used anything."""

    def used(self, question: UsageQuestion) -> list[dict[str, Any]]:
        """No rows."""
        return []

    def budgets(self) -> list[dict[str, Any]]:
        """No budgets."""
        return []

    def drift(self) -> list[Drift]:
        """Nothing is counted."""
        return []


def registry_admin(
    path: AdapterPath,
    replicas: Callable[[], list[dict[str, Any]]] = list,
    config: AdaptersConfig | None = None,
) -> Any:
    """The application as the registry wires it."""
    config = config or path.config
    parts = Parts(
        path.rollout,
        path.registry,
        path.store,
        path.fleet,
        config,
        Uploads(config, path.root / "incoming"),
        replicas,
    )

    async def told(_: policy.Move) -> bool:
        return True

    library = open_library(Settings(state_dir=path.root), path.registry)
    rules = policy.PolicyAdmin(path.registry.policies, told)
    rows = admin.admin_rows(parts, NoBooks(), DocumentsAdmin(library), rules)
    return ResourceApp(rows, explain=admin.explain)
