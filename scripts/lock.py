"""Resolve ``requirements/*.lock`` anew from ``pyproject.toml``: ``make lock``.

The locks pin every package with the hashes of its files, for every supported Python and machine
at once. uv does the resolving (pip cannot resolve for another platform); it is installed into a
temporary environment, so nothing of it stays. Pins that still fit are kept: to raise them, pass
``--upgrade`` (everything) or ``--upgrade-package NAME``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
RESOLVER = REQUIREMENTS / "resolver.lock"
OLDEST_PYTHON = "3.11"

# Conditions that hold wherever Graftwork can be installed, so they need not be said on each line.
ONE_MACHINE = (
    "(platform_machine == '{}' and platform_python_implementation == 'CPython'"
    " and sys_platform == 'linux')"
)
ANY_MACHINE = f"({ONE_MACHINE.format('aarch64')} or {ONE_MACHINE.format('x86_64')})"
ALWAYS_TRUE = {
    "implementation_name != 'PyPy'",
    "implementation_name != 'pypy'",
    "platform_python_implementation == 'CPython'",
    "python_full_version < '3.14'",
    "sys_platform == 'linux'",
    ANY_MACHINE,
}

CPU = REQUIREMENTS / "cpu.lock"
GPU = REQUIREMENTS / "gpu.lock"
DEV = REQUIREMENTS / "dev.lock"


def install_uv(folder: Path) -> Path:
    """Put uv into a throw-away environment and return its path."""
    venv.create(folder, with_pip=True)
    subprocess.run(how_to_install_uv(folder), check=True)
    return folder / "bin" / "uv"


def how_to_install_uv(folder: Path) -> list[str | Path]:
    """The command: by hash, since whoever resolves the locks chooses what everybody runs."""
    pip = folder / "bin" / "pip"
    return [pip, "install", "--quiet", "--no-deps", "--require-hashes", "-r", RESOLVER]


def requirements(extra: str, *, alone: bool = False) -> str:
    """What ``pyproject.toml`` asks for: the extra, with the core dependencies unless alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = [] if alone else project["dependencies"]
    return "\n".join([*core, *project["optional-dependencies"][extra]])


def compile_lock(uv: Path, lock: Path, wanted: str, *arguments: str | Path) -> None:
    """Resolve one lock file, keeping the pins it already has wherever they fit."""
    header = f"# {lock.name}: made by `make lock` from pyproject.toml; do not edit.\n"
    command: list[str | Path] = [uv, "pip", "compile", "-", *arguments]
    command += [
        "--universal",
        "--python-version",
        OLDEST_PYTHON,
        "--generate-hashes",
        "--no-header",
    ]
    command += ["--no-annotate", "--quiet", "--output-file", lock]
    # A certificate store that pip was told about is in the system's store, not in uv's own.
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, input=wanted, text=True)
    lines = [shorten(line) for line in lock.read_text().splitlines()]
    lock.write_text(header + "\n".join(lines) + "\n")
    print(f"{lock.relative_to(ROOT)}: {count_pins(lock)} packages")


def shorten(line: str) -> str:
    r"""Leave out of a pin's marker what is always true here.

    >>> shorten("six==1.17.0 ; python_full_version < '3.14' and sys_platform == 'linux' \\")
    'six==1.17.0 \\'
    """
    pin, separator, marker = line.partition(" ; ")
    if not separator:
        return line
    conditions = marker.removesuffix(" \\").replace(ANY_MACHINE, "").split(" and ")
    needed = [c for c in conditions if c and c not in ALWAYS_TRUE]
    return pin + (" ; " + " and ".join(needed) if needed else "") + " \\"


def count_pins(lock: Path) -> int:
    """How many pins a lock has (one package may have two, for different Pythons)."""
    return sum("==" in line and not line[0].isspace() for line in lock.read_text().splitlines())


def lock_all(uv: Path, upgrade: list[str]) -> None:
    """Resolve the three locks so that they agree with each other as far as they can."""
    excludes = ("--excludes", REQUIREMENTS / "cpu-excludes.in")
    wanted = requirements("cpu") + "\n" + (REQUIREMENTS / "cpu-unseen.in").read_text()
    compile_lock(uv, CPU, wanted, *excludes, *upgrade)
    # vLLM for CUDA pins some packages differently; the other pins are taken over from the CPU lock.
    if upgrade or not GPU.exists():
        shutil.copyfile(CPU, GPU)
    compile_lock(uv, GPU, requirements("gpu"))
    compile_lock(uv, DEV, requirements("dev", alone=True), "--constraints", CPU, *upgrade)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make lock")
    parser.add_argument("--upgrade", action="store_true", help="raise every pin")
    parser.add_argument("--upgrade-package", action="append", default=[], metavar="NAME")
    options = parser.parse_args()
    upgrade = ["--upgrade"] if options.upgrade else []
    upgrade += [f"--upgrade-package={name}" for name in options.upgrade_package]
    with tempfile.TemporaryDirectory() as folder:
        lock_all(install_uv(Path(folder)), upgrade)
    return 0


if __name__ == "__main__":
    sys.exit(main())
