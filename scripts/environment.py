"""Make ``.venv`` exactly as the lock files say, once.

The environment has three layers, each with a fingerprint of what it was made from: the runtime
(Python, engine flavour, lock), the development tools, and the project itself. A stamp file holds
the fingerprints of the layers that are complete: when they match, nothing is done. The stamp is
removed before anything is changed, so an environment without one was interrupted and is made anew.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import platform
import shutil
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts import machine
from scripts.install import FailedError, Step, run_steps

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("cpu", "gpu")
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# What a start imports. Doing it once proves that the environment works and compiles these modules:
# a third of what is installed, so pip compiles nothing, and it stays compiled where Python is told
# to write no bytecode.
FIRST_IMPORT = (
    "import peft, ray.serve, vllm.entrypoints.openai.api_server, vllm.v1.engine.async_llm,"
    " vllm.v1.engine.core, vllm.v1.worker.cpu_worker"
)
Stamp = dict[str, str]


def fingerprint(*parts: str | bytes) -> str:
    """One hash over several parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def wanted_stamp(root: Path, extra: str, *, dev: bool) -> Stamp:
    """The fingerprints that a complete environment would have."""
    locks = root / "requirements"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    packaging = [pyproject["build-system"], pyproject["project"], pyproject["tool"]["setuptools"]]
    stamp = {
        "extra": extra,
        # The root is part of it because a moved environment has scripts that point to nowhere.
        "runtime": fingerprint(
            python, platform.machine(), str(root), extra,
            *(lock.read_bytes() for lock in runtime_locks(locks, extra)),
        ),
        "project": fingerprint(json.dumps(packaging, sort_keys=True)),
    }  # fmt: skip
    if dev:
        stamp["dev"] = fingerprint((locks / "dev.lock").read_bytes())
    return stamp


def runtime_locks(locks: Path, extra: str) -> list[Path]:
    """What the runtime is installed from, in this order."""
    torch = [locks / "torch-cpu.lock"] if extra == "cpu" else []
    return [*torch, locks / f"{extra}.lock"]


def read_stamp(venv: Path) -> Stamp:
    """The layers that are complete; none when the environment is missing or was interrupted."""
    try:
        stamp = json.loads((venv / "stamp.json").read_text())
    except (OSError, ValueError):
        return {}
    # A link to a Python that was since removed or replaced exists and leads nowhere.
    programs = [venv / "bin" / "python", venv / "bin" / "graftwork"]
    return stamp if isinstance(stamp, dict) and all(p.exists() for p in programs) else {}


def write_stamp(venv: Path, stamp: Stamp) -> None:
    """Say that everything in the stamp is complete; whole or not at all."""
    temporary = venv / "stamp.json.new"
    temporary.write_text(json.dumps(stamp, indent=2) + "\n")
    temporary.replace(venv / "stamp.json")


def stale_layers(present: Stamp, wanted: Stamp) -> list[str]:
    """Which layers must be made, in order; a new runtime takes everything with it."""
    if present.get("runtime") != wanted["runtime"]:
        return [layer for layer in ("runtime", "dev", "project") if layer in wanted]
    return [n for n in ("dev", "project") if n in wanted and present.get(n) != wanted[n]]


def plan(root: Path, extra: str, layers: list[str]) -> list[Step]:
    """The steps that make the stale layers."""
    locks = root / "requirements"
    python = str(root / ".venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--no-deps", "--progress-bar=off"]
    steps = []
    if "runtime" in layers:
        steps += _runtime_steps(root / ".venv", extra, [*pip, "--no-compile"], locks)
    if "dev" in layers:
        steps.append(_lock_step("development tools", pip, locks / "dev.lock"))
    if "project" in layers:
        editable = [*pip, "--no-build-isolation", "--no-index", "--editable", str(root)]
        steps.append(Step("graftwork itself", [editable]))
    return steps


def _runtime_steps(venv: Path, extra: str, pip: list[str], locks: Path) -> list[Step]:
    create = [sys.executable, "-m", "venv", str(venv)]
    *torch, lock = runtime_locks(locks, extra)
    packages = _lock_step("runtime packages", pip, lock)
    first = Step(f"virtual environment, Python {platform.python_version()}", [create])
    if not torch:
        return [first, packages]
    (usual,) = _lock_step("torch", pip, torch[0]).commands
    return [
        first,
        Step("torch for the CPU", [usual, [*usual, "--index-url", TORCH_CPU_INDEX]]),
        packages,
        Step("first import of the engine", [[str(venv / "bin" / "python"), "-c", FIRST_IMPORT]]),
    ]


def _lock_step(title: str, pip: list[str], lock: Path) -> Step:
    pins = sum("==" in line and not line[0].isspace() for line in lock.read_text().splitlines())
    return Step(title, [[*pip, "--require-hashes", "-r", str(lock)]], packages=pins)


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Let two starts in the same folder wait for each other."""
    with (root / ".venv.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("graftwork: another start is making the environment; waiting for it", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def make(root: Path, extra: str, *, dev: bool) -> None:
    """Bring ``.venv`` to what is wanted, doing only what is missing."""
    venv = root / ".venv"
    present, wanted = read_stamp(venv), wanted_stamp(root, extra, dev=dev)
    layers = stale_layers(present, wanted)
    if not layers:
        return
    started = time.monotonic()
    if "runtime" in layers:
        _start_afresh(venv, extra)
        present = {}
    (venv / "stamp.json").unlink(missing_ok=True)
    run_steps(plan(root, extra, layers), log=venv / "bootstrap.log")
    write_stamp(venv, present | wanted)
    print(f"graftwork: the environment is ready ({time.monotonic() - started:.0f} s)", flush=True)


def _start_afresh(venv: Path, extra: str) -> None:
    if venv.exists():
        print("graftwork: .venv is incomplete or out of date; making it anew", flush=True)
        shutil.rmtree(venv)
    machine.check(extra, venv.parent)
    print(f"graftwork: making .venv for the {extra} engine; this happens once", flush=True)
    venv.mkdir()


def parse_arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py", description="Make .venv exactly as the lock files say, once."
    )
    parser.add_argument("--extra", choices=EXTRAS, help="engine (default: as before, or cpu)")
    parser.add_argument("--dev", action="store_true", help="with the tools that tests need")
    return parser.parse_args()


def main() -> int:
    """Make the environment, or say in one line why not."""
    options = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    venv = ROOT / ".venv"
    extra = options.extra or read_stamp(venv).get("extra", "cpu")
    try:
        # Most starts find everything in place: they must not wait for a lock, nor write anything.
        if stale_layers(read_stamp(venv), wanted_stamp(ROOT, extra, dev=options.dev)):
            with only_one(ROOT):
                make(ROOT, extra, dev=options.dev)
    except (machine.UnfitError, FailedError) as error:
        print(f"graftwork: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ngraftwork: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"graftwork: {error.strerror}: {error.filename or ROOT}", file=sys.stderr)
        return 1
    return 0
