"""The documents say what is true: files exist, the tree is the tree, every stage is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "k8s").rglob("*.md")]
)
_MENTION = re.compile(
    r"`((?:adapters|router|serving|tests|scripts|config|benchmarks|docs|k8s)/[\w./-]+)`"
)
_LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    """A path in backticks, or a relative link, leads somewhere."""
    text = document.read_text()
    missing = [name for name in _MENTION.findall(text) if not (ROOT / name).exists()]
    missing += [link for link in _LINK.findall(text) if not (document.parent / link).exists()]
    assert not missing


def test_the_readme_tree_is_the_tree() -> None:
    """Every folder in README's tree exists, and every top-level folder is in it."""
    text = (ROOT / "README.md").read_text()
    tree = text.split("```text\n")[1].split("```")[0]
    named = {line.split("/")[0] for line in tree.splitlines() if "/" in line.split()[0]}
    real = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith((".", "__")) and any(path.rglob("*.*"))
    } - {"build", "dist", "graftwork.egg-info"}
    assert named == real


def test_make_targets_in_documents_exist() -> None:
    """Every ``make X`` that a document tells people to run is a target."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"`?make ([a-z][a-z0-9-]+)", document.read_text())
        if f"make {name}" in document.read_text().replace("`", "")
    }
    commands = {name for name in told if name in targets or name.startswith(("bench", "test"))}
    assert commands <= targets
