"""Room on the disk: seen before anything is begun, and set aside for what was."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapters.records.room import Room

MIB = 1024 * 1024


def disk(monkeypatch: pytest.MonkeyPatch, free: int, size: int = 100 * MIB) -> None:
    """Have every file system be so large, and have so much room, bytes."""
    told = SimpleNamespace(f_blocks=size, f_frsize=1, f_bfree=free, f_bavail=free)
    monkeypatch.setattr(os, "statvfs", lambda _: told)


def test_some_is_set_aside_once_and_given_up_once(tmp_path: Path) -> None:
    """Without a name in the directory, so that a killed process leaves nothing of it."""
    room = Room(tmp_path)
    assert (room.look(), room.look()) == (None, None)
    assert list(tmp_path.iterdir()) == []
    assert (room.give_up(), room.give_up()) == (True, False)


def test_a_full_disk_is_seen_before_a_write_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And room is seen again; of a small file system a sixteenth is enough."""
    room = Room(tmp_path)
    disk(monkeypatch, free=0)
    assert "No space" in (room.look() or "")
    assert not room.give_up()
    disk(monkeypatch, free=50 * MIB)
    assert room.look() is None
    disk(monkeypatch, free=60 * 1024, size=MIB // 2)
    assert room.look() is None
    disk(monkeypatch, free=0, size=0)
    assert room.look() is None


@pytest.mark.parametrize(
    ("number", "refuses"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EOPNOTSUPP, False), (errno.EINVAL, False)],
)
def test_what_cannot_be_set_aside_refuses_only_for_want_of_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, refuses: bool
) -> None:
    """A file system that sets nothing aside takes records all the same."""

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fails)
    room = Room(tmp_path)
    assert (room.look() is not None) == refuses
    assert not room.give_up()
