"""Imported for what it does, before NumPy is: one thread for products of matrices.

As Ray has it for replicas. On a busy machine several threads wait for each other, spinning, fifty
times as long as they work.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
