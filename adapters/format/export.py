"""A version as a portable bundle: a tar of its PEFT directory, manifest and model card.

vLLM, PEFT and another Graftwork load what comes out; the same version gives the same bytes.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from adapters.format.files import chunks, open_regular
from adapters.format.manifest import MANIFEST_FILE

MODEL_CARD = "README.md"
_BLOCK = tarfile.BLOCKSIZE


class Exported(Protocol):
    """What a bundle and its card say of a version; a ``VersionRecord`` is one."""

    @property
    def name(self) -> str: ...
    @property
    def alias(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def base(self) -> str: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...


def bundle_name(version: Exported) -> str:
    """The file name that a download gets."""
    return f"{version.name}.tar"


def bundle(version: Exported, directory: Path) -> Iterator[bytes]:
    """The tar, piece by piece; everything lies below one directory named like the version."""
    names = sorted(path.name for path in directory.iterdir())
    if MODEL_CARD not in names:
        yield from _member(f"{version.name}/{MODEL_CARD}", model_card(version).encode())
    for name in names:
        path = directory / name
        with open_regular(path) as file:
            size = path.stat().st_size
            yield _header(f"{version.name}/{name}", size)
            yield from chunks(file)
            yield _padding(size)
    yield tarfile.NUL * (2 * _BLOCK)


def model_card(version: Exported) -> str:
    """What a person wants to know first, as Markdown with the front matter that hubs read."""
    manifest = version.manifest
    rows = {
        "alias": version.alias,
        "version": version.digest,
        "base model": manifest.get("base_model") or "unknown",
        "base digest": version.base,
        "rank": manifest.get("rank"),
        "target modules": ", ".join(manifest.get("target_modules") or ()),
        "intents": ", ".join(manifest.get("intents") or ()),
        "training dataset": manifest.get("training_dataset"),
        "parent version": manifest.get("parent"),
        "author": manifest.get("author"),
    }
    lines = [f"| {key} | {value} |" for key, value in rows.items() if value]
    return "\n".join(
        [
            "---",
            "library_name: peft",
            "tags: [lora]",
            "---",
            f"# {version.name}",
            "",
            "| | |",
            "| --- | --- |",
            *lines,
            "",
            f"Evaluation and everything else that is known: `{MANIFEST_FILE}`.",
            "",
        ]
    )


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content
    yield _padding(len(content))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf()


def _padding(size: int) -> bytes:
    return tarfile.NUL * (-size % _BLOCK)
