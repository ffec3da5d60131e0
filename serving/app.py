"""The composition root: from the deploy file's ``args`` to the bound Ray Serve application.

``import_path: serving.app:build`` in the deploy file.
"""

from __future__ import annotations

from typing import Any

from ray.serve import Application

from serving.config.settings import Settings
from serving.engine.deployment import EngineDeployment
from serving.registry.deployment import RegistryDeployment
from serving.router.deployment import RouterDeployment


def build(args: dict[str, Any]) -> Application:
    """Bind router → engine, registry. Raises ``pydantic.ValidationError`` for bad settings."""
    settings = Settings.model_validate(args).model_dump(mode="json")
    registry = _bind(RegistryDeployment, settings)
    engine = _bind(EngineDeployment, settings, registry)
    return _bind(RouterDeployment, settings, registry, engine)


def _bind(deployment: Any, *arguments: Any) -> Application:
    """Ray Serve's decorator gives the class a ``bind`` that type checkers do not see."""
    return deployment.bind(*arguments)
