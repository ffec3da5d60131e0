"""The whole system as a process of its own, which a test can kill: registry, router and engine die
at once, and trainers, which are processes of their own, live on.

    python -m tests.fakes.loop_process FILE URL_FILE

``FILE`` is JSON: ``root``, ``router``, ``args`` as ``whole_system`` takes them; ``answer``, which
adapters give after ``delay_s``; ``steps`` and ``pause_s`` of trainings. It ends with its input.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from adapters.atomic import write_file
from tests.fakes.engine_speech import Says
from tests.fakes.trainer_process import FakeTrainer
from tests.fakes.whole_system import whole_system


class _Adapters(dict[str, Says]):
    """What models say: adapters one thing."""

    def __init__(self, answer: str, delay_s: float) -> None:
        super().__init__()
        self._says = Says(answer, delay_s=delay_s)

    def get(self, model: str, default: Any = None) -> Any:
        """Names of versions have a digest in them."""
        return self._says if "@" in model else default


class LoopProcess:
    """Starts and kills such a process. ``given``: what is in ``FILE``."""

    def __init__(self, root: Path, **given: Any) -> None:
        self._file = root / "loop.json"
        self._url_file = root / "url"
        self._file.write_text(json.dumps({"root": str(root / "state"), **given}))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Its URL, once it is up."""
        self._url_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.fakes.loop_process"]
        self._process = subprocess.Popen(
            [*command, str(self._file), str(self._url_file)], stdin=subprocess.PIPE
        )
        while not self._url_file.exists():
            code = self._process.poll()
            assert code is None, f"it ended with {code}"
            time.sleep(0.02)
        return self._url_file.read_text()

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None


def _run(file: Path, url_file: Path) -> None:
    given = json.loads(file.read_text())
    trainer = FakeTrainer(steps=given["steps"], pause_s=given["pause_s"])
    running = whole_system(
        Path(given["root"]), given["router"], replicas=1, trainer=trainer, **given["args"]
    )
    with running as system:
        for engine in system.engines.values():
            engine.says = _Adapters(given["answer"], given["delay_s"])
        write_file(url_file, system.url)
        sys.stdin.read()


if __name__ == "__main__":
    _run(Path(sys.argv[1]), Path(sys.argv[2]))
