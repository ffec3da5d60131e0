"""What an attempt can come to; bounded, because metrics have it as a label."""

from __future__ import annotations

from typing import Final

from router.errors import Failure

OK: Final = "ok"
CANCELLED: Final = "cancelled"
"""Given up by us: the client left, or another answer was faster."""
REJECTED: Final = "rejected"
"""Followed by the status."""
NOT_BILLED: Final = (
    REJECTED,
    *(
        failure.value
        for failure in (
            Failure.UNREACHABLE,
            Failure.RESET,
            Failure.SERVER,
            Failure.LIMITED,
            Failure.CREDENTIALS,
            Failure.MISSING,
            Failure.BUSY,
        )
    ),
)
"""Beginnings of the outcomes for which nobody is billed, unless something was streamed before."""
