"""The shape of the code: who may import whom, and what may not be written at all."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import adapters

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("serving", "router", "adapters")
MAX_LINES = 500
BANNED_MODULES = {
    "dill": "unpickling runs code; use safetensors or JSON",
    "litellm": "frontier providers are reached by our own clients in router/targets",
    "marshal": "it runs no code but promises nothing between versions; use JSON",
    "pickle": "unpickling runs code; use safetensors or JSON",
}
BANNED_CALLS = {
    "eval": "write the few cases out",
    "exec": "write the few cases out",
    "os.popen": "subprocess.run([...]) with a list",
    "os.system": "subprocess.run([...]) with a list",
    "torch.load": "unpickling runs code; use safetensors.torch.load_file",
}
# Whole files are written by adapters.atomic. What else may rename, and what:
RENAMES = {
    "adapters/atomic.py": "it is the writer",
    "adapters/dataset/files.py": "a directory",
    "adapters/distill/run.py": "a directory",
    "adapters/store/parcels.py": "a directory",
    "adapters/publish/waiting.py": "a directory",
    "adapters/store/local.py": "directories, also such as may be hostile",
    "router/admit/keys.py": "no file: a keyring gets other keys",
    "router/budgets/tally.py": "a mapped file, locked before it has its name",
    "router/capture/spool.py": "a whole file that changes its directory",
    "scripts/environment.py": "runs before there is an environment",
    "serving/distill_job.py": "a log that grew long",
    "serving/embedded/store.py": "a directory",
    "serving/merge.py": "a directory",
    "serving/smollm2/prepared.py": "a directory",
}
# Written so that this file does not contain them itself.
FOREIGN_WORDS = (
    "/wo" + "rk/",
    "/opt/" + "wheels",
    "/opt/" + "pypi",
    "/tmp" + "/w/",
    "r-seed" + "-",
)

Nodes = list[tuple[str, ast.AST]]
LOOKED_AT = (ast.Call, ast.Global, ast.Import, ast.ImportFrom, ast.keyword)


def sources() -> list[Path]:
    """Every Python file of the product and its scripts."""
    folders = (ROOT / name for name in (*PACKAGES, "scripts"))
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Every syntax node that is looked at here, with the place to look it up.

    They go with these tests: millions of them would hold up every look for garbage after this.
    """
    found: Nodes = [
        (f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node)
        for file in sources()
        for node in ast.walk(ast.parse(file.read_text(), filename=str(file)))
        if isinstance(node, LOOKED_AT)
    ]
    yield found
    found.clear()


def imported_modules(node: ast.AST) -> list[str]:
    """Full names of the modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module]
    return []


def distribution(name: str) -> str:
    """A requirement's or a pin's distribution name, in its one normal spelling."""
    found = re.match(r"[A-Za-z0-9._-]+", name)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def test_import_contracts_hold() -> None:
    """Imports go one way, and heavy libraries stay where the contracts in pyproject.toml say."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_our_adapters_package_is_the_one_imported() -> None:
    """The distribution of the same name on the package index has not shadowed ours."""
    assert Path(adapters.__file__).resolve() == ROOT / "adapters" / "__init__.py"


@pytest.mark.parametrize("lock", ["cpu", "gpu", "dev"])
def test_locks_hold_nothing_that_clashes(lock: str) -> None:
    """Neither the namesake of our package nor a library that we replace can be installed."""
    lines = (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines()
    pinned = {distribution(line) for line in lines if line and line[0].isalnum()}
    assert not pinned & {"adapters", "adapter-transformers", "litellm", "router", "serving"}


def test_banned_modules_are_not_imported(nodes: Nodes) -> None:
    """Nothing unpickles, and nothing goes through a proxy library."""
    found = [
        f"{place}: {module}: {BANNED_MODULES[module.split('.')[0]]}"
        for place, node in nodes
        for module in imported_modules(node)
        if module.split(".")[0] in BANNED_MODULES
    ]
    assert not found, "\n".join(found)


def test_banned_calls_are_not_made(nodes: Nodes) -> None:
    """Nothing runs strings as code or as shell commands, and no tensor file is unpickled."""
    found = [
        f"{place}: {name}: {BANNED_CALLS[name]}"
        for place, node in nodes
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in BANNED_CALLS
    ]
    assert not found, "\n".join(found)


def renames(node: ast.AST) -> bool:
    """Whether a file or a directory may get another name here."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if ast.unparse(node.func) in {"os.rename", "os.replace", "os.renames", "shutil.move"}:
        return True
    # ``Path.replace`` takes one argument; a text's, a time's and a dataclass's take others.
    one = len(node.args) == 1 and not node.keywords
    return node.func.attr == "rename" or (node.func.attr == "replace" and one)


def test_whole_files_are_written_in_one_way(nodes: Nodes) -> None:
    """Every other writer of drafts has its own names, its own leftovers and no fsync."""
    found = {place for place, node in nodes if renames(node)}
    files = {place.partition(":")[0] for place in found}
    strange = sorted(place for place in found if place.partition(":")[0] not in RENAMES)
    assert not strange, f"write files with adapters.atomic: {strange}"
    assert files == set(RENAMES), "take what does not rename any more out of RENAMES"


def test_no_shell_is_started(nodes: Nodes) -> None:
    """No argument can be read by a shell."""
    found = [
        place
        for place, node in nodes
        if isinstance(node, ast.keyword) and node.arg == "shell"
        if not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]
    assert not found, f"pass a list and no shell=True: {found}"


def test_no_global_statement(nodes: Nodes) -> None:
    """State has an owner: whoever needs it is given it by the composition root."""
    found = [place for place, node in nodes if isinstance(node, ast.Global)]
    assert not found, f"give the state to an object that serving/app.py makes: {found}"


def test_files_are_short() -> None:
    """A file that has grown beyond one subject is found before it becomes a hub."""
    sizes = {
        file.relative_to(ROOT): len(file.read_text().splitlines())
        for file in sources()
        if "migrations" not in file.parts
    }
    long = {str(file): lines for file, lines in sizes.items() if lines > MAX_LINES}
    assert not long, f"split by subject, one noun per file (at most {MAX_LINES} lines): {long}"


def test_every_imported_distribution_is_declared(nodes: Nodes) -> None:
    """Nothing works only because another package happens to bring its dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tools = {distribution(r) for r in extras.pop("dev")}
    declared = {distribution(r) for r in sum(extras.values(), project["dependencies"])}
    providers = packages_distributions()
    found = {
        f"{place}: {module}"
        for place, node in nodes
        for module in imported_modules(node)
        if (names := providers.get(module.split(".")[0], ()))
        and module.split(".")[0] not in PACKAGES
        and not {distribution(name) for name in names}
        & (declared | tools if place.startswith("scripts/") else declared)
    }
    assert not found, "declare it in pyproject.toml and run `make lock`:\n" + "\n".join(found)


def test_nothing_names_the_place_where_it_was_written() -> None:
    """The files make sense on any machine: no path or index of some author's workplace."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in files
        if file.is_file() and file.suffix not in {".safetensors", ".png"}
        for word in FOREIGN_WORDS
        if word.encode() in file.read_bytes()
    ]
    assert not found, "\n".join(found)
