"""SQLite is refused where machines share the storage: in WAL mode it would be damaged there."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.errors import RegistryError
from adapters.registry import database
from adapters.registry.storage import shared_file_system

MOUNTS = r"""22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
40 22 0:38 / /shared rw,relatime shared:20 - nfs4 10.0.0.1:/export rw,vers=4.2
41 40 0:39 / /shared/local rw - xfs /dev/nvme1n1 rw
42 22 0:40 / /mnt/two\040words rw - fuse.s3fs s3fs rw
43 22 0:41 / /shared-not ro - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/shared/registry.db", "nfs4"),
        ("/shared/a/b/registry.db", "nfs4"),
        ("/shared/local/registry.db", None),
        ("/shared-not/registry.db", None),
        ("/mnt/two words/registry.db", "fuse.s3fs"),
        ("/var/lib/registry.db", None),
    ],
)
def test_the_file_system_under_a_path_is_found(tmp_path: Path, path: str, kind: str | None) -> None:
    """The nearest mount decides, also for a file that is not there yet."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert shared_file_system(Path(path), mounts) == kind


def test_a_system_that_does_not_tell_its_mounts_is_trusted(tmp_path: Path) -> None:
    """There is no /proc everywhere."""
    assert shared_file_system(tmp_path, tmp_path / "none") is None


def test_the_registry_does_not_open_sqlite_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says why, and what to use instead."""
    monkeypatch.setattr("adapters.registry.database.shared_file_system", lambda _: "nfs4")
    with pytest.raises(RegistryError, match="SQLite on nfs4") as refused:
        database.connect(f"sqlite:///{tmp_path / 'registry.db'}")
    assert "PostgreSQL" in refused.value.remedy
