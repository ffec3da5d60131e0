"""Where SQLite must not lie: its locks and its shared memory work on one machine only."""

from __future__ import annotations

from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_SHARED = frozenset(
    {
        *("afs", "beegfs", "ceph", "cifs", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4"),
        *("ocfs2", "smb3", "smbfs"),
        *(f"fuse.{kind}" for kind in ("ceph", "ceph-fuse", "cephfs", "gcsfuse", "glusterfs")),
        *(f"fuse.{kind}" for kind in ("goofys", "juicefs", "lustre", "mountpoint-s3", "s3fs")),
        *(f"fuse.{kind}" for kind in ("seaweedfs", "sshfs")),
    }
)


def shared_file_system(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The kind of the file system under a path when machines share it, for example ``nfs4``."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    found = max(map(_mount, lines), key=lambda mount: _depth(path.absolute(), mount), default=None)
    if found is None or not _depth(path.absolute(), found):
        return None
    return found[1] if found[1] in _SHARED else None


def _mount(line: str) -> tuple[Path, str]:
    # 36 35 98:0 /root /mnt/here rw,noatime master:1 - ext4 /dev/root rw
    before, _, after = line.partition(" - ")
    # Spaces and the like are octal there.
    where = before.split(" ")[4].encode().decode("unicode_escape")
    return Path(where), after.split(" ", 1)[0]


def _depth(path: Path, mount: tuple[Path, str]) -> int:
    """How much of the path the mount covers; 0: it lies elsewhere."""
    return len(mount[0].parts) if path.is_relative_to(mount[0]) else 0
