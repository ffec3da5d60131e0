"""What an image prepares, because its root is read-only later: ``python -m serving.bringup.image``.

HAProxy gets a place that does not depend on the Python version, and its error pages lie beside it.
``k8s/base/runtime.env`` names both.
"""

from __future__ import annotations

import sys
from pathlib import Path

from serving.bringup.edge import haproxy_binary, write_errors

HAPROXY = Path("bin/haproxy")
ERRORS = Path("haproxy-errors")


def prepare(root: Path) -> None:
    """Make ``bin/haproxy`` and ``haproxy-errors`` below the image's folder."""
    link = root / HAPROXY
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(haproxy_binary())
    write_errors(root / ERRORS)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
