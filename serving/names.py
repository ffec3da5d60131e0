"""Names of the deployments and of the application; the deploy file uses the same."""

from __future__ import annotations

APPLICATION = "graftwork"
ENGINE = "engine"
ROUTER = "router"
REGISTRY = "registry"
