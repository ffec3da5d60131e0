"""Checks of what lies in the directory, before anything in it is read."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from adapters.format.manifest import PASSENGER_FILES, REQUIRED_FILES, WEIGHTS_FILE
from adapters.format.preflight.report import Finding, failed, passed, some, verdict
from adapters.format.preflight.subject import Subject

PICKLE_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
)
ALLOWED_SUFFIXES = frozenset({".jinja", ".json", ".md", ".model", ".txt"})
ALLOWED_NAMES = frozenset({*PASSENGER_FILES, WEIGHTS_FILE, "_SUCCESS", ".gitattributes"})
_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def _files_present(subject: Subject) -> Finding:
    usable = {entry.relative for entry in subject.entries if entry.is_regular and entry.size_bytes}
    return verdict(
        (f"{name} missing or empty" for name in REQUIRED_FILES if name not in usable),
        " and ".join(REQUIRED_FILES),
        "Push the directory that PEFT's save_pretrained wrote.",
    )


def _no_pickle(subject: Subject) -> Finding:
    suffixed = (entry.relative for entry in subject.entries)
    return verdict(
        (name for name in suffixed if PurePosixPath(name).suffix.lower() in PICKLE_SUFFIXES),
        "safetensors only",
        "Pickled files run code when they are read: save with safe_serialization, and leave"
        " training state behind.",
    )


def _allowed_files(subject: Subject) -> Finding:
    return verdict(
        (
            entry.relative
            for entry in subject.entries
            if not entry.is_directory and not _is_allowed(entry.relative)
        ),
        f"{WEIGHTS_FILE} and {', '.join(sorted(ALLOWED_SUFFIXES))} files",
        "Remove the files that do not belong to a PEFT directory.",
    )


def _is_allowed(relative: str) -> bool:
    path = PurePosixPath(relative)
    suffix = path.suffix.lower()
    # Pickles have a check of their own, which says more.
    return relative in ALLOWED_NAMES or suffix in ALLOWED_SUFFIXES or suffix in PICKLE_SUFFIXES


def _regular_files(subject: Subject) -> Finding:
    return verdict(
        (
            f"{entry.relative} ({_KINDS.get(stat.S_IFMT(entry.mode), 'special file')})"
            for entry in subject.entries
            if not entry.is_regular and not entry.is_directory
        ),
        "regular files",
        "Replace links with the files that they point to.",
    )


def _total_size(subject: Subject) -> Finding:
    limits = subject.limits
    size = sum(entry.size_bytes for entry in subject.entries if entry.is_regular)
    found = f"{len(subject.entries)} files, {size} bytes"
    expected = f"at most {limits.max_files} files and {limits.max_total_bytes} bytes"
    if len(subject.entries) > limits.max_files or size > limits.max_total_bytes:
        largest = sorted(subject.entries, key=lambda entry: -entry.size_bytes)[:3]
        return failed(
            f"{found}; largest: {some(entry.relative for entry in largest)}",
            expected,
            "Remove what does not belong to the adapter, or raise the server's limits.",
        )
    return passed(found, expected)


CHECKS: Mapping[str, Callable[[Subject], Finding]] = {
    "files-present": _files_present,
    "no-pickle": _no_pickle,
    "allowed-files": _allowed_files,
    "regular-files": _regular_files,
    "total-size": _total_size,
}
