"""The router's deployment, made as Ray Serve makes it, with nothing of Ray's running around it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# In a process of its own: importing Ray Serve warns, and sets up logging.
_EVERYWHERE = """
import asyncio, sys
from ray.serve.config import HTTPOptions
from serving.router import deployment

async def everywhere():
    return HTTPOptions(host="0.0.0.0", port=8000)

deployment.http_options = everywhere
made = deployment.RouterDeployment.func_or_class
asyncio.run(made.__init__(made.__new__(made), {"state_dir": sys.argv[1]}, None, None))
"""


def test_what_would_be_open_to_others_does_not_start(tmp_path: Path) -> None:
    """Law 11 holds in the process itself: `serve deploy` and a RayService ask nobody else (D8)."""
    done = subprocess.run(
        [sys.executable, "-c", _EVERYWHERE, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    refused = "OpenToOthers: refuses to serve on 0.0.0.0 without API keys"
    assert refused in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == [], "it refuses before it touches its state"
