"""Checks of what lies in the directory, before anything in it is read."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from adapters.format.checkpoint import ADAPTER_FILES, MAX_ENTRIES, advice
from adapters.format.manifest import REQUIRED_FILES, WEIGHTS_FILE
from adapters.format.preflight.subject import Finding, Subject, failed, passed, some, verdict

PICKLE_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
)
_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def _one_adapter(subject: Subject) -> Finding:
    expected = "one adapter, or one named like the alias"
    candidates = subject.selection.candidates
    if not candidates:
        return passed("", expected)
    shown = [each or "the top of what was pushed" for each in candidates]
    return failed(
        f"{len(shown)} adapters: {some(shown)}",
        expected,
        "Push one of these directories by itself.",
        shown,
    )


def _files_present(subject: Subject) -> Finding:
    usable = {entry.relative for entry in subject.entries if entry.is_regular and entry.size_bytes}
    return verdict(
        (f"{name} missing or empty" for name in REQUIRED_FILES if name not in usable),
        " and ".join(REQUIRED_FILES),
        _what_to_push(subject),
    )


def _what_to_push(subject: Subject) -> str:
    if ambiguity := subject.selection.ambiguity:
        return f"{ambiguity[0].upper()}{ambiguity[1:]}."
    return advice(entry.relative for entry in subject.tree if not entry.is_directory)


def _no_pickle(subject: Subject) -> Finding:
    names = (entry.relative for entry in subject.entries)
    return verdict(
        (name for name in names if _is_pickle(name)),
        "safetensors only",
        "Pickled files run code when they are read: save with safe_serialization.",
    )


def _allowed_files(subject: Subject) -> Finding:
    expected = f"{WEIGHTS_FILE}, the tokenizer's files, and what is left out"
    left_out = subject.selection.left_out
    names = (entry.relative for entry in subject.entries)
    # Pickles have a check of their own, which says more.
    odd = [name for name in names if name not in ADAPTER_FILES and not _is_pickle(name)]
    if odd:
        return failed(
            "",
            expected,
            "Remove these files: other weights may belong to the adapter, code is never run.",
            odd,
        )
    return passed(f"left out: {some(left_out)}" if left_out else "", expected, left_out)


def _is_pickle(relative: str) -> bool:
    return PurePosixPath(relative).suffix.lower() in PICKLE_SUFFIXES


def _regular_files(subject: Subject) -> Finding:
    return verdict(
        (
            f"{entry.relative} ({_KINDS.get(stat.S_IFMT(entry.mode), 'special file')})"
            for entry in subject.counted
            if not entry.is_regular and not entry.is_directory
        ),
        "regular files",
        "Replace links with the files that they point to.",
    )


def _total_size(subject: Subject) -> Finding:
    limits, counted = subject.limits, subject.counted
    size = sum(entry.size_bytes for entry in counted if entry.is_regular)
    found = f"{len(counted)} files, {size} bytes"
    expected = f"at most {limits.max_files} files and {limits.max_total_bytes} bytes"
    if len(subject.tree) > MAX_ENTRIES:
        found = f"more than {MAX_ENTRIES} files, training state included"
    elif len(counted) <= limits.max_files and size <= limits.max_total_bytes:
        return passed(found, expected)
    largest = sorted(counted, key=lambda entry: -entry.size_bytes)[:3]
    return failed(
        f"{found}; largest: {some(entry.relative for entry in largest)}",
        expected,
        "Remove what does not belong to the adapter, or raise the server's limits.",
        (entry.relative for entry in counted),
    )


CHECKS: Mapping[str, Callable[[Subject], Finding]] = {
    "one-adapter": _one_adapter,
    "files-present": _files_present,
    "no-pickle": _no_pickle,
    "allowed-files": _allowed_files,
    "regular-files": _regular_files,
    "total-size": _total_size,
}
