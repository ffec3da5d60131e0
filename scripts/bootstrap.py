"""The door to the environment: ``python3 scripts/bootstrap.py --help``.

Written so that any Python 3 can read it, because its first job is to say in one line that a Python
will not do, or to hand over to one that will. The work is done in ``environment.py``.
"""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 11)
NEWEST = (3, 13)
# The best-tested first.
KNOWN_NAMES = ("python3.11", "python3.12", "python3.13")


def refusal(version: "tuple[int, ...]") -> "str | None":
    """Why this version of Python cannot be used, with the remedy; None when it can."""
    if OLDEST <= version[:2] <= NEWEST:
        return None
    return (
        "Python {} is too {}: install Python 3.11, 3.12 or 3.13 (for example with "
        "`apt install python3.11 python3.11-venv`), then run this again."
    ).format(".".join(map(str, version[:3])), "old" if version[:2] < OLDEST else "new")


def find_python(search_path: "str") -> "str | None":
    """A supported Python on PATH that can make virtual environments."""
    for name in KNOWN_NAMES:
        for folder in search_path.split(os.pathsep):
            candidate = os.path.join(folder, name)
            if os.access(candidate, os.X_OK) and can_make_environments(candidate):
                return candidate
    return None


def can_make_environments(python: "str") -> "bool":
    """Whether it starts at all (a version manager's stub may not) and has venv and pip inside."""
    with open(os.devnull, "w") as nowhere:
        command = [python, "-c", "import venv, ensurepip"]
        return subprocess.call(command, stdout=nowhere, stderr=nowhere) == 0


def base_python() -> "str | None":
    """The Python that made ``.venv``, when this one lives in it: it must not remove itself."""
    if os.path.dirname(os.path.abspath(sys.executable)) != os.path.join(ROOT, ".venv", "bin"):
        return None
    return os.path.realpath(sys.executable)


def main() -> "int":
    """Run ``environment.main`` in a Python that is fit for it."""
    problem = refusal(tuple(sys.version_info[:3]))
    python = base_python()
    if problem:
        python = find_python(os.environ.get("PATH", ""))
    if python:
        os.execv(python, [python, os.path.abspath(__file__)] + sys.argv[1:])
    if problem:
        sys.stderr.write("graftwork: {}\n".format(problem))
        return 1
    sys.path.insert(0, ROOT)
    from scripts import environment

    return environment.main()


if __name__ == "__main__":
    sys.exit(main())
