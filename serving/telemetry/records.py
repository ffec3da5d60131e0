"""What of a process's logs is worth a gauge: what waits for the disk, and whether it takes any."""

from __future__ import annotations

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
            "graftwork_records_lost": (
                "Records that waited for a disk that took none when the log was closed.",
                lambda: sum(log.lost for log in logs),
            ),
        }
    )
