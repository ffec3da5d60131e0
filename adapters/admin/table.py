"""The admin plane's resources that live in the registry: a new one is its file and a line here."""

from __future__ import annotations

from adapters.admin import adapters, events, garbage, replicas
from adapters.admin.parts import Parts
from adapters.resources import Resource

PREFIX = "/admin/v1"
RESOURCES: tuple[Resource[Parts], ...] = (
    *adapters.RESOURCES,
    *replicas.RESOURCES,
    *events.RESOURCES,
    *garbage.RESOURCES,
)
