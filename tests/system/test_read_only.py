"""The image's entry command, outside a container, under a root that nobody can write.

As in a Pod: the environment is the Dockerfile's, and only the mounted places (/tmp, state, caches,
/dev/shm) can be written. What is missing from a real container: another user, and its file system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.bringup.edge import free_port
from serving.embedded import ADAPTERS_DIR
from tests.k8s.dockerfile import Dockerfile
from tests.system.client import chat, push, target
from tests.system.running import ROOT, Running

pytestmark = pytest.mark.system

HOME, STATE, CACHE = "/opt/graftwork", "/var/lib/graftwork", "/var/cache/graftwork"
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def _skip_without_namespaces() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare, which makes the read-only root, is not on the PATH")
    probe = [*NAMESPACE, "mount", "--make-rprivate", "/"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine lets nobody make a namespace: {done.stderr.strip()}")


def _mapped(text: str, writable: Path) -> str:
    """A path of the image as it is here."""
    places = {STATE: str(writable / "state"), CACHE: str(writable / "cache"), HOME: str(ROOT)}
    for place, here in places.items():
        text = text.replace(place, here)
    return text


def _command(file: Dockerfile, writable: Path, port: int) -> list[str]:
    entry, arguments = file.last("cpu", "ENTRYPOINT").words, file.last("cpu", "CMD").words
    assert entry == ["graftwork"]
    said = [_mapped(word, writable) for word in arguments]
    return [sys.executable, "-m", "serving.cli", *said, "--port", str(port)]


@pytest.fixture
def confined() -> Iterator[Running]:
    """The system as the image starts it, with one directory to write to."""
    _skip_without_namespaces()
    # Short: Ray and HAProxy put Unix sockets far below it.
    writable = Path(tempfile.mkdtemp(prefix="g", dir="/tmp"))
    for name in ("state", "cache"):
        (writable / name).mkdir()
    file, port, marker = Dockerfile(ROOT / "Dockerfile"), free_port(), uuid.uuid4().hex
    environment = {k: _mapped(v, writable) for k, v in file.pairs("cpu", "ENV").items()}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(writable),
        "OMP_NUM_THREADS": "1",
        "STARTED_BY_TEST": marker,
    }
    output = writable / "output.txt"
    with output.open("wb") as sink:
        # unshare and the script replace themselves, so this is the system's own process.
        process = subprocess.Popen(
            [
                *NAMESPACE,
                str(ROOT / "tests/system/read_only.sh"),
                str(writable),
                *_command(file, writable, port),
            ],
            cwd=writable,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    found = Running(process, port, writable / "state", output, marker)
    try:
        found.wait_until_up()
        yield found
        found.stop()
    finally:
        found.kill()
        subprocess.run(["chmod", "-R", "u+w", str(writable)], check=False)
        shutil.rmtree(writable)


@pytest.mark.timeout(300)
def test_the_entry_command_needs_no_writable_root(confined: Running) -> None:
    """It comes up, answers with an adapter, takes a new one, and stops cleanly."""
    mounts = Path(f"/proc/{confined.process.pid}/mountinfo").read_text().splitlines()
    root = next(line.split() for line in mounts if line.split()[4] == "/")
    assert "ro" in root[5].split(",")
    with httpx.Client(base_url=confined.url, timeout=60, trust_env=False) as client:
        assert target(chat(client, "returns")).startswith("adapter:returns@")
        push(client, "pushed", ADAPTERS_DIR / "extract")
        assert target(chat(client, "pushed")).startswith("adapter:pushed@")
    assert (confined.state_dir / "registry.db").is_file()
