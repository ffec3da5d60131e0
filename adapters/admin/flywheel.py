"""The learning loop's resources: a new one is its file and a line here."""

from __future__ import annotations

from typing import Any

from adapters.admin import (
    clusters,
    datasets,
    distillations,
    exchanges,
    gates,
    lineage,
    quality,
    reviews,
    takeover,
    trace,
)
from adapters.resources import Resource

LOOP: tuple[Resource[Any], ...] = (
    *exchanges.RESOURCES,
    *clusters.RESOURCES,
    *reviews.RESOURCES,
    *datasets.RESOURCES,
    *gates.RESOURCES,
    *distillations.RESOURCES,
    *lineage.RESOURCES,
    *quality.RESOURCES,
    *takeover.RESOURCES,
    *trace.RESOURCES,
)
