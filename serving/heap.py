"""The garbage collector's part in a process that serves: out of the way."""

from __future__ import annotations

import gc

_YOUNG, _OLDER, _OLD = 10_000, 20, 50
"""Reference counting frees what requests leave behind, but for rare cycles; these can wait."""


def settle_heap() -> None:
    """What exists now stays for good: to be called once, when a process is ready to serve.

    Imported libraries alone are hundreds of thousands of objects. Each full collection would walk
    through all of them, and hold every request up for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLD)
