"""`python -m serving.cli`: the same as `graftwork`."""

from __future__ import annotations

from serving.cli import main

main()
