"""How much deciding remembers, for a scrape (law 9)."""

from __future__ import annotations

from collections.abc import Callable

from router.deciding.learning import Learning

Reading = tuple[str, Callable[[], float]]


def readings(learning: Learning) -> dict[str, Reading]:
    """Sizes by metric name; each has its limit where it is kept."""
    return {
        "graftwork_routing_sessions": (
            "Sessions whose target is remembered (routing.sessions.kept).",
            lambda: len(learning.sessions),
        ),
        "graftwork_routing_quality_cells": (
            "Pairs of intent and target with judgements (routing.quality.cells_kept).",
            lambda: len(learning.quality),
        ),
        "graftwork_routing_calibration_cells": (
            "Pairs of intent and target with judged answers; at most 500.",
            lambda: len(learning.calibration),
        ),
        "graftwork_routing_measured_targets": (
            "Targets whose lengths and latencies are known; at most 10000.",
            lambda: len(learning.measured),
        ),
    }
