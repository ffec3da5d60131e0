"""A place like a Pod's: every file system is read-only but one directory.

What is missing from a real container: another user, and its file system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.k8s.dockerfile import Dockerfile
from tests.system.running import ROOT

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
_HOME, _STATE, _CACHE = "/opt/graftwork", "/var/lib/graftwork", "/var/cache/graftwork"


@dataclass(frozen=True)
class Place:
    """Where one system runs.

    Attributes:
        writable: the one directory that can be written.
        wrapper: goes before a command to confine it; empty where nobody may make a namespace.
    """

    writable: Path
    wrapper: tuple[str, ...]

    @property
    def state_dir(self) -> Path:
        """Where the image's volume for the state is."""
        return self.writable / "state"

    def image_environment(self) -> dict[str, str]:
        """The environment that the Dockerfile sets, with the image's paths as they are here."""
        pairs = Dockerfile(ROOT / "Dockerfile").pairs("cpu", "ENV")
        return {
            **{name: self._mapped(value) for name, value in pairs.items()},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TMPDIR": str(self.writable),
            "OMP_NUM_THREADS": "1",
        }

    def _mapped(self, text: str) -> str:
        places = {_STATE: str(self.state_dir), _CACHE: f"{self.writable}/cache", _HOME: str(ROOT)}
        for place, here in places.items():
            text = text.replace(place, here)
        return text


@contextmanager
def confined() -> Iterator[Place]:
    """A fresh place; nothing is left of it."""
    # Short: Ray and HAProxy put Unix sockets far below it.
    writable = Path(tempfile.mkdtemp(prefix="g", dir="/tmp"))
    (writable / "cache").mkdir()
    script = str(ROOT / "tests/system/read_only.sh")
    wrapper = (*NAMESPACE, script, str(writable)) if may_confine() else ()
    try:
        yield Place(writable, wrapper)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(writable)], check=False)
        shutil.rmtree(writable, ignore_errors=True)


def may_confine() -> bool:
    """Whether this machine lets us make a mount namespace."""
    if shutil.which("unshare") is None:
        return False
    probe = [*NAMESPACE, "mount", "--make-rprivate", "/"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
