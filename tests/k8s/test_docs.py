"""What the pages tell people to type exists: commands, options, targets, files, resources."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from typer.main import get_command

from serving.cli.main import app
from tests.k8s.rendering import K8S, OVERLAYS, ROOT, render

PAGES = sorted([K8S / "README.md", *(ROOT / "docs/operations").glob("*.md")])
PROGRAMS = {"docker", "export", "graftwork", "kind", "kubectl", "make"}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command in a block, comments dropped, continuation lines joined."""
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split("   #")[0].split("&&"):
                    if part.strip():
                        yield page.name, shlex.split(part)


@cache
def graftwork() -> dict[str, Any]:
    """The command line's commands by name, groups as `keys new`."""
    found: dict[str, Any] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        if inner is None:
            found[name] = command
        else:
            found |= {f"{name} {each}": sub for each, sub in inner.items()}
    return found


def make_targets() -> set[str]:
    """Every target of the Makefile."""
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("page", "words"), list(commands()), ids=lambda v: " ".join(v)[:50])
def test_a_command_can_be_typed(page: str, words: list[str]) -> None:
    """The program is one that readers have, and what it is given exists."""
    assert words[0] in PROGRAMS, page
    if words[0] == "graftwork":
        name = next(n for n in (" ".join(words[1:3]), words[1]) if n in graftwork())
        known = {option for each in graftwork()[name].params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= known
    elif words[0] == "make":
        assert set(words[1:]) <= make_targets()
    elif "-k" in words:
        assert (ROOT / words[words.index("-k") + 1] / "kustomization.yaml").is_file()
    elif "--target" in words:
        stage = words[words.index("--target") + 1]
        assert f" AS {stage}\n" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_mentions_in_passing_exists(page: Any) -> None:
    """`graftwork x` and `make x` inside sentences; Secrets, policies and groups by name."""
    text = page.read_text()
    for name in re.findall(r"`graftwork ([a-z][a-z-]*)", text):
        assert any(command.split()[0] == name for command in graftwork()), name
    for name in re.findall(r"`make ([a-z0-9-]+)", text):
        assert name in make_targets(), name
    for variable in re.findall(r"`(RAY_[A-Z_]+|VLLM_[A-Z_]+)`", text):
        assert variable in (K8S / "base/runtime.env").read_text()


def test_names_of_objects_in_the_pages_exist() -> None:
    """Policies, Secrets and volumes that a runbook names are in the overlays."""
    text = "\n".join(page.read_text() for page in PAGES)
    rendered = "\n".join(str(each) for overlay in OVERLAYS for each in render(overlay))
    # The name of a Secret that KubeRay makes is cut short with an ellipsis.
    named = set(re.findall(r"`(graftwork-[a-z-]*[a-z]|[a-z]+-to-[a-z]+)`", text))
    assert len(named) > 8
    assert {name for name in named if name not in rendered} == set()
