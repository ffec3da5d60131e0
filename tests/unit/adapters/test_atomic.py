"""Whole files: the old one or the new one, whoever writes, whatever fails, whoever is killed."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters import atomic
from adapters.atomic import scratch, sweep, sweep_scratch, write_file, writing

Write = Callable[[Path, bytes], None]


def names(directory: Path) -> list[str]:
    """What is in it."""
    return sorted(path.name for path in directory.iterdir())


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def write_whole(path: Path, data: bytes) -> None:
    """By the function."""
    write_file(path, data)


def fill_draft(path: Path, data: bytes) -> None:
    """As libraries do that write to a path."""
    with writing(path) as draft, draft.open("wb") as file:
        file.write(data)


def replace_draft(path: Path, data: bytes) -> None:
    """As libraries do that write whole files themselves."""
    with writing(path) as draft:
        other = draft.with_name(".tmp-of-a-library")
        other.write_bytes(data)
        other.chmod(0o640)
        other.replace(draft)


WRITERS: list[Write] = [write_whole, fill_draft, replace_draft]


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_is_replaced_and_private(write: Write, tmp_path: Path) -> None:
    """Whoever writes it."""
    target = tmp_path / "kept.json"
    target.write_text("old")
    write(target, b"new")
    assert target.read_bytes() == b"new"
    assert mode(target) == 0o600
    assert names(tmp_path) == ["kept.json"]


def test_a_file_for_others_has_what_the_umask_leaves(tmp_path: Path) -> None:
    """As any other file."""
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "a", "ü", private=False)
        with writing(tmp_path / "b", private=False) as draft:
            draft.write_text("b")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "a"), mode(tmp_path / "b")) == (0o640, 0o640)
    assert (tmp_path / "a").read_bytes() == "ü".encode()


def test_one_that_must_not_replace_does_not(tmp_path: Path) -> None:
    """The first one stays."""
    write_file(tmp_path / "key", b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "key", b"second", replace=False)
    assert (tmp_path / "key").read_bytes() == b"first"
    assert names(tmp_path) == ["key"]


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it shows only at the end."""
    target = tmp_path / "kept.json"
    target.write_text("old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_file(target, b"new")
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["kept.json"]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """Whatever a library raises."""
    target = tmp_path / "kept.json"
    target.write_text("old")

    def fail() -> None:
        with writing(target) as draft:
            draft.write_text("half")
            raise KeyError("no more")

    with pytest.raises(KeyError):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["kept.json"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    """A draft's name is no longer than that."""
    target = tmp_path / ("ü" * 127)
    write_file(target, b"x")
    assert target.read_bytes() == b"x"


@pytest.mark.parametrize("write", [write_whole, fill_draft])
def test_threads_may_write_one_file_while_another_sweeps(write: Write, tmp_path: Path) -> None:
    """With one draft's name for all, the second one's rename found nothing."""
    target = tmp_path / "kept"
    wanted = [bytes([number]) * 4096 for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, target, data) for data in wanted]
        sweeps = [pool.submit(sweep, tmp_path) for _ in range(64)]
        assert [each.result() for each in writers] == [None] * 64
        for each in sweeps:
            each.result()
    assert target.read_bytes() in wanted
    assert names(tmp_path) == ["kept"]


def test_only_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    """What a living one writes is locked."""
    code = (
        "import os, sys; from pathlib import Path; from adapters.atomic import writing\n"
        "with writing(Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('half'); print(draft.name, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "kept")]
    (tmp_path / ".hand-made.draft").write_text("of somebody else")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        try:
            assert sweep(tmp_path) == 0
            assert (tmp_path / name).read_text() == "half"
        finally:
            process.send_signal(signal.SIGKILL)
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == [".hand-made.draft"]


def test_what_looks_like_a_draft_and_is_none_is_left(tmp_path: Path) -> None:
    """A watched directory is filled by strangers."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / f".a.{'0' * 16}.draft").symlink_to(secret)
    os.mkfifo(folder / f".b.{'0' * 16}.draft")
    (folder / f".c.{'0' * 16}.draft").mkdir()
    assert sweep(folder) == 0
    assert secret.read_text() == "s"
    assert (folder / f".c.{'0' * 16}.draft").is_dir()


def test_no_directory_is_nothing_to_sweep(tmp_path: Path) -> None:
    """As at the first start."""
    assert sweep(tmp_path / "none") == 0


def test_a_draft_that_was_swept_before_it_was_locked_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two calls of the system."""
    real = atomic._locked
    taken: list[Path] = []

    def late(handle: int) -> bool | None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        return real(handle)

    monkeypatch.setattr(atomic, "_locked", late)
    write_file(tmp_path / "kept", b"new")
    assert taken
    assert (tmp_path / "kept").read_bytes() == b"new"


def test_a_private_directory_is_gone_after_its_block_and_swept_after_a_kill(
    tmp_path: Path,
) -> None:
    """What a living process fills stays."""
    code = (
        "import os, sys; from pathlib import Path; from adapters.atomic import scratch\n"
        "with scratch(Path(sys.argv[1])) as place:\n"
        "    (place / 'half').write_text('h'); print(place.name, flush=True); sys.stdin.read()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    folder = tmp_path / "incoming"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        left = process.stdout.readline().strip()
        with scratch(folder) as place:
            assert sweep_scratch(folder) == 0
            assert names(folder) == sorted([left, place.name])
        process.communicate()
    assert names(folder) == [left]
    assert sweep_scratch(folder) == 1
    assert names(folder) == []
