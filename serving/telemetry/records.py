"""What of a process's logs is worth a gauge: what waits for the disk, and whether it takes any."""

from __future__ import annotations

import time

from adapters.records.writer import RecordLog
from router.account.gauges import Gauges


def record_gauges(*logs: RecordLog) -> Gauges:
    """The gauges of one process that writes these logs."""
    return Gauges(
        {
            "graftwork_records_queued": (
                "Records that wait for the disk.",
                lambda: sum(log.queued for log in logs),
            ),
            "graftwork_records_unavailable": (
                "1 while the disk takes no records, and requests are refused for it.",
                lambda: any(log.refusal() is not None for log in logs),
            ),
            "graftwork_records_checkpoint_age_seconds": (
                "Since the newest signed checkpoint of these logs that this process knows of.",
                lambda: max((_age(log) for log in logs), default=0.0),
            ),
            "graftwork_records_found_lost_seconds": (
                "When this process last gave requests of one that is gone an end with outcome"
                " `lost`, seconds since the epoch; 0: never.",
                lambda: max((log.found_lost_s for log in logs), default=0.0),
            ),
            "graftwork_records_lost": (
                "Records that waited for a disk that took none when the log was closed.",
                lambda: sum(log.lost for log in logs),
            ),
        }
    )


def _age(log: RecordLog) -> float:
    """Zero while there is none: nothing was recorded yet."""
    newest_s = log.sealer.newest_s
    return max(time.time() - newest_s, 0.0) if newest_s else 0.0
