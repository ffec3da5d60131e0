"""A version as a portable bundle: a tar.gz of its PEFT directory, manifest, card and reports.

vLLM, PEFT and another Graftwork load what comes out; the same version gives the same bytes.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from adapters.format.files import chunks, open_regular
from adapters.format.manifest import MANIFEST_FILE

MODEL_CARD = "README.md"
_BLOCK = tarfile.BLOCKSIZE
_GZIP = 31
"""What zlib calls gzip's format with the largest window."""


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
    return f"{version.name}.tar.gz"


def bundle(
    version: Exported, directory: Path, reports: Mapping[str, bytes] | None = None
) -> Iterator[bytes]:
    """The tar.gz, piece by piece; everything lies below one directory named like the version.

    ``reports`` lie beside it by their file names: what is known of it that is not in its files.
    """
    # Weights hardly shrink: time is worth more. Nothing of the header depends on the moment.
    packer = zlib.compressobj(level=1, wbits=_GZIP)
    for piece in _tar(version, directory, reports or {}):
        yield packer.compress(piece)
    yield packer.flush()


def _tar(version: Exported, directory: Path, reports: Mapping[str, bytes]) -> Iterator[bytes]:
    names = sorted(path.name for path in directory.iterdir())
    for name in sorted(reports.keys() - set(names)):
        yield from _member(f"{version.name}/{name}", reports[name])
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
