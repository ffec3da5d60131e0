"""Health probes of a Pod, without a shell or other programs: ``python -m serving.bringup.probe``.

KubeRay's own probes need ``bash`` and ``wget`` in the image. Names of what to ask: ``raylet`` (this
node's Ray agent), ``gcs`` (on the head), ``serve`` (HAProxy and a router behind it). The endpoint's
``/readyz`` is not among them on purpose: while no engine is up, frontier models still answer.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

URLS: Mapping[str, str] = {
    "raylet": "http://127.0.0.1:52365/api/local_raylet_healthz",
    "gcs": "http://127.0.0.1:8265/api/gcs_healthz",
    "serve": "http://127.0.0.1:8000/-/healthz",
}
_TIMEOUT_S = 4.0


def problem(url: str, timeout_s: float = _TIMEOUT_S) -> str | None:
    """What is wrong at ``url``; None when it answers 200."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=timeout_s) as response:
            return None if response.status == 200 else f"{url}: {response.status}"
    except (urllib.error.URLError, OSError) as error:
        return f"{url}: {error}"


def main(names: Sequence[str], urls: Mapping[str, str] = URLS) -> int:
    """Ask each; 0 when all are well, 1 with a line for each that is not, 2 for an unknown name."""
    unknown = [name for name in names if name not in urls]
    if unknown or not names:
        sys.stderr.write(f"known are {', '.join(urls)}; got {' '.join(names) or 'nothing'}\n")
        return 2
    problems = [found for name in names if (found := problem(urls[name]))]
    sys.stderr.writelines(line + "\n" for line in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
