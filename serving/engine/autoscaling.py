"""How many engine replicas: from the requests that the replicas themselves report.

Ray Serve's own count is blind here, because bytes flow from router to engine without passing
through Ray. The deploy file names this policy under ``autoscaling_config``.
"""

from __future__ import annotations

import math
from typing import Any

IN_FLIGHT_METRIC = "in_flight"


def by_requests_in_flight(context: Any) -> tuple[int, dict[str, Any]]:
    """Replicas such that each has about ``target_ongoing_requests`` under way.

    Args:
        context: Ray Serve's ``AutoscalingContext``.

    Returns:
        The wanted number of replicas within the configured bounds, and the policy's state.
    """
    metrics = (context.aggregated_metrics or {}).get(IN_FLIGHT_METRIC, {})
    target = float(context.config.target_ongoing_requests or 1.0)
    wanted = math.ceil(sum(metrics.values()) / target)
    if context.total_num_requests > 0:
        # A router waits for an engine (serving/router/waking.py): not given up while it starts.
        wanted = max(wanted, 1)
    low, high = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return max(low, min(high, wanted)), dict(context.policy_state or {})
