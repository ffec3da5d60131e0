import gzip
import io
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.errors import ArchiveError
from adapters.format.archive import ArchiveLimits, safe_path, unpack
from tests.fakes.peft_dirs import members_of, tar_bytes, tar_with, zip_bytes

MEMBERS = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(range(256)) * 40}
PACKERS: Mapping[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "tar": tar_bytes,
    "tar.gz": lambda members: tar_bytes(members, gzipped=True),
    "zip": zip_bytes,
}
SMALL = ArchiveLimits(
    max_archive_bytes=1 << 20,
    max_total_bytes=1 << 19,
    max_file_bytes=1 << 18,
    max_files=8,
    max_path_bytes=64,
    max_depth=3,
    max_ratio=20.0,
    ratio_floor_bytes=1 << 12,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Where the pushed archive lies; its name says nothing about its format."""
    return tmp_path / "upload"


def refusal(source: Path, content: bytes, limits: ArchiveLimits | None = None) -> str:
    """The code with which an archive is refused; nothing may be left of it."""
    source.write_bytes(content)
    destination = source.parent / "out"
    with pytest.raises(ArchiveError) as refused:
        unpack(source, destination, limits)
    assert list(destination.iterdir()) == []
    assert {path.name for path in source.parent.iterdir()} == {"upload", "out"}
    assert refused.value.message
    return refused.value.code


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """A tar archive of one member of the given kind."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return tar_with(info)


@pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)
@pytest.mark.parametrize("top", ["", "my-adapter/", "./"])
def test_every_format_is_unpacked_by_content(
    source: Path, packer: Callable[[Mapping[str, bytes]], bytes], top: str
) -> None:
    """All three formats give the same files, one directory around them or none."""
    source.write_bytes(packer({f"{top}{name}": content for name, content in MEMBERS.items()}))
    root = unpack(source, source.parent / "out")
    assert members_of(root) == MEMBERS


@pytest.mark.parametrize("pack", ["tar", "gztar", "zip"])
def test_archives_of_ordinary_tools_are_unpacked(tmp_path: Path, pack: str) -> None:
    """What Python's own packer makes of a directory, directory entries and all, comes out again."""
    folder = tmp_path / "in" / "returns"
    (folder / "sub").mkdir(parents=True)
    for name, content in MEMBERS.items():
        (folder / name).write_bytes(content)
    (folder / "sub" / "note.txt").write_text("x")
    packed = shutil.make_archive(str(tmp_path / "packed"), pack, tmp_path / "in", "returns")
    root = unpack(Path(packed), tmp_path / "out")
    assert members_of(root) == members_of(folder)


@pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)
def test_a_file_beside_the_top_directory_keeps_it(
    source: Path, packer: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    """Only a directory that holds everything is stripped."""
    source.write_bytes(packer({"a/adapter_config.json": b"{}", "README.md": b"x"}))
    root = unpack(source, source.parent / "out")
    assert members_of(root).keys() == {"a/adapter_config.json", "README.md"}


def test_litter_of_desktop_systems_is_left_out(source: Path) -> None:
    """Resource forks and folder settings do not hide the one top directory."""
    litter = {"__MACOSX/a/._x": b"1", "a/.DS_Store": b"2", "a/._adapter_config.json": b"3"}
    source.write_bytes(zip_bytes({"a/adapter_config.json": b"{}", **litter}))
    assert members_of(unpack(source, source.parent / "out")) == {"adapter_config.json": b"{}"}


def test_long_names_and_large_metadata_of_tar_are_read(source: Path) -> None:
    """GNU long names and pax attributes are understood."""
    name = "d" * 90 + "/" + "f" * 90 + ".json"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            info = tarfile.TarInfo(name)
            info.size = 2
            info.mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(b"{}"))
        source.write_bytes(buffer.getvalue())
        root = unpack(source, source.parent / f"out-{form}")
        assert members_of(root) == {"f" * 90 + ".json": b"{}"}


def test_modes_and_owners_of_the_archive_do_not_survive(source: Path) -> None:
    """No executable, no set-user-id bit, no write for others."""
    info = tarfile.TarInfo("adapter_config.json")
    info.mode, info.size = 0o7777, 2
    source.write_bytes(tar_with(info, b"{}"))
    root = unpack(source, source.parent / "out")
    mode = stat.S_IMODE((root / "adapter_config.json").stat().st_mode)
    assert mode & 0o7133 == 0


HOSTILE_NAMES = {
    "../evil": "path-traversal",
    "a/../../evil": "path-traversal",
    "a/..": "path-traversal",
    "/etc/cron.d/evil": "absolute-path",
    "C:/evil": "drive-letter",
    "c:evil": "drive-letter",
    "..\\evil": "backslash",
    "a\\b": "backslash",
    "line\nbreak": "bad-name",
    "d/" * 12 + "x": "path-too-deep",
    "n" * 600: "path-too-long",
    "n" * 256: "path-too-long",
}


@pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)
@pytest.mark.parametrize(("name", "code"), HOSTILE_NAMES.items(), ids=range(len(HOSTILE_NAMES)))
def test_names_that_lead_elsewhere_are_refused(
    source: Path, packer: Callable[[Mapping[str, bytes]], bytes], name: str, code: str
) -> None:
    """Each kind of hostile name has its code in every format, also behind a good member."""
    assert refusal(source, packer({"good.json": b"{}", name: b"evil"})) == code


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (tarfile.SYMTYPE, "symlink"),
        (tarfile.LNKTYPE, "hardlink"),
        (tarfile.CHRTYPE, "special-file"),
        (tarfile.BLKTYPE, "special-file"),
        (tarfile.FIFOTYPE, "special-file"),
        (tarfile.CONTTYPE, "special-file"),
        (tarfile.GNUTYPE_SPARSE, "special-file"),
        (b"Z", "special-file"),
    ],
)
def test_tar_members_other_than_files_are_refused(source: Path, kind: bytes, code: str) -> None:
    """Links, devices, pipes, sparse files and unknown kinds never reach the disk."""
    assert refusal(source, tar_member("x", kind, link="/etc/passwd")) == code


@pytest.mark.parametrize(
    ("mode", "code"),
    [(0o120777, "symlink"), (0o020666, "special-file"), (0o010644, "special-file")],
)
def test_zip_members_other_than_files_are_refused(source: Path, mode: int, code: str) -> None:
    """The Unix kind that a zip entry carries is looked at."""
    content = zip_bytes({"x": b"/etc/passwd"}, modes={"x": mode})
    assert refusal(source, content) == code


@pytest.mark.parametrize("packer", [PACKERS["tar"], PACKERS["zip"]], ids=["tar", "zip"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("a.json", "A.JSON"), ("a", "a/b"), ("a/b", "a"), ("é", "e\u0301"), ("D/x", "d/y")],
)
def test_names_that_collide_are_refused(
    source: Path, packer: Callable[[Mapping[str, bytes]], bytes], first: str, second: str
) -> None:
    """Names that differ in case or Unicode form only, or file against directory, are refused."""
    assert refusal(source, packer({first: b"1", second: b"2"})) == "duplicate-name"


def test_the_same_name_twice_is_refused(source: Path) -> None:
    """Which of two files of one name counts must not depend on the reader."""
    one = tar_bytes({"adapter_config.json": b"{}"})
    assert refusal(source, one[:1024] + tar_bytes({"./adapter_config.json": b"[]"})) == (
        "duplicate-name"
    )


@pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)
@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({f"{index}.txt": b"" for index in range(9)}, "too-many-files"),
        ({"a": bytes(range(256)) * 2000}, "file-too-large"),
        ({f"{i}": bytes([i]) * 200_000 + bytes(range(256)) for i in range(4)}, "total-too-large"),
    ],
    ids=["files", "file", "total"],
)
def test_limits_hold_in_every_format(
    source: Path,
    packer: Callable[[Mapping[str, bytes]], bytes],
    members: Mapping[str, bytes],
    code: str,
) -> None:
    """Counts and sizes are limited, whatever the compression."""
    limits = SMALL.model_copy(update={"max_ratio": 1e9})
    assert refusal(source, packer(members), limits) == code


@pytest.mark.parametrize("packer", [PACKERS["tar.gz"], PACKERS["zip"]], ids=["tar.gz", "zip"])
def test_a_bomb_is_stopped_by_its_ratio(
    source: Path, packer: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    """Two hundred kilobytes of zeros in a few hundred bytes are refused under a small floor."""
    assert refusal(source, packer({"zeros": b"\0" * 200_000}), SMALL) == "compression-bomb"


def test_a_bomb_behind_the_end_is_stopped(source: Path) -> None:
    """Bytes that follow the archive's end count as well."""
    content = gzip.compress(tar_bytes({"a": b"x"}) + b"\0" * 400_000)
    assert refusal(source, content, SMALL) == "compression-bomb"


def test_untrained_adapters_are_no_bombs(source: Path) -> None:
    """A megabyte of zeros compresses a thousandfold and is below the default floor."""
    source.write_bytes(tar_bytes({"a": b"\0" * (1 << 20)}, gzipped=True))
    assert (unpack(source, source.parent / "out") / "a").stat().st_size == 1 << 20


def test_an_archive_beyond_the_limit_is_not_opened(source: Path) -> None:
    """The size of the upload itself is limited."""
    assert refusal(source, tar_bytes({"a": b"x" * (1 << 20)}), SMALL) == "archive-too-large"


def test_a_huge_extension_header_is_refused(source: Path) -> None:
    """A tar header may not make us read its claimed gigabytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    block = info.tobuf(tarfile.GNU_FORMAT)
    assert refusal(source, block + b"a" * 2048) == "corrupt"


@pytest.mark.parametrize("attributes", [b"9 path=x", b"x path=y\n", b"99 path=x\n", b"0 a=b\n"])
def test_malformed_pax_attributes_are_refused(source: Path, attributes: bytes) -> None:
    """Records whose length does not fit are not guessed at."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(attributes)
    assert refusal(source, tar_with(info, attributes)) == "corrupt"


def test_an_encrypted_zip_is_refused(source: Path) -> None:
    """Encrypted entries are named as such."""
    content = bytearray(zip_bytes({"a": b"x"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert refusal(source, bytes(content)) == "encrypted"


def test_unusual_zip_compression_is_refused(source: Path) -> None:
    """Only stored and deflated entries are read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", "x")
    assert refusal(source, buffer.getvalue()) == "unsupported-compression"


def test_a_zip_directory_of_many_entries_is_refused_before_it_is_read(source: Path) -> None:
    """The end record's count is enough to refuse."""
    content = zip_bytes({f"{index}": b"" for index in range(300)})
    assert refusal(source, content) == "too-many-files"


def test_a_wrong_checksum_is_refused(source: Path) -> None:
    """A byte that changed on the way is noticed in both compressed formats."""
    content = bytearray(zip_bytes(MEMBERS))
    at = content.index(b"PK\x01\x02") + 16
    content[at] ^= 0xFF
    assert refusal(source, bytes(content)) == "corrupt"
    packed = bytearray(tar_bytes(MEMBERS, gzipped=True))
    packed[-6] ^= 0xFF
    assert refusal(source, bytes(packed)) == "corrupt"


@pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_archive_is_refused(
    source: Path, packer: Callable[[Mapping[str, bytes]], bytes], part: float
) -> None:
    """Wherever an upload broke off, it is not taken for the whole."""
    members = {**MEMBERS, "notes.md": bytes(range(256)) * 90}
    content = packer(members).rstrip(b"\0")
    assert refusal(source, content[: int(len(content) * part)]) == "truncated"


def test_a_tar_without_its_end_is_refused(source: Path) -> None:
    """An upload that broke off exactly between two members is truncated, not complete."""
    content = tar_bytes({"a": b"x" * 512, "b": b"y" * 512})
    assert refusal(source, content[:1024]) == "truncated"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unknown-format"),
        (b"hello", "unknown-format"),
        (b"\x80\x04" + b"x" * 600, "unknown-format"),
        (b"\x1f\x8b" + b"x" * 600, "corrupt"),
        (b"PK\x03\x04" + b"x" * 600, "truncated"),
        (gzip.compress(b"just text" * 100), "corrupt"),
        (gzip.compress(b""), "truncated"),
        (b"\0" * 10240, "empty"),
        (zip_bytes({}), "empty"),
        (tar_member("only-a-directory/", tarfile.DIRTYPE), "empty"),
    ],
)
def test_what_is_no_archive_of_files_is_refused(source: Path, content: bytes, code: str) -> None:
    """Other formats and empty archives are named as such."""
    assert refusal(source, content) == code


def test_the_destination_must_be_empty(source: Path) -> None:
    """Nothing that is there already is overwritten or removed."""
    source.write_bytes(tar_bytes(MEMBERS))
    destination = source.parent / "out"
    destination.mkdir()
    (destination / "precious").write_text("x")
    with pytest.raises(ArchiveError) as refused:
        unpack(source, destination)
    assert refused.value.code == "destination-not-empty"
    assert (destination / "precious").exists()


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=40) | st.lists(st.sampled_from(["..", ".", "", "a", "B:", "/"])).map("/".join)
)
def test_a_safe_path_stays_inside(name: str) -> None:
    """Whatever name is accepted, joined to a directory it lies in that directory."""
    with suppress(ArchiveError):
        parts = safe_path(name, ArchiveLimits())
        joined = Path("/root/of/it").joinpath(*parts)
        assert joined.is_relative_to("/root/of/it")
        assert ".." not in joined.parts
        assert "\0" not in str(joined)


@settings(max_examples=100, deadline=None)
@example(packer="zip", changes=[(237, 1)], cut=0)
@given(
    packer=st.sampled_from(sorted(PACKERS)),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 200),
)
def test_no_damage_escapes_or_crashes(
    packer: str, changes: list[tuple[int, int]], cut: int
) -> None:
    """A damaged archive is unpacked inside its directory, or refused with a typed error."""
    content = bytearray(PACKERS[packer]({"a/adapter_config.json": b"{}", "a/b.txt": b"xyz" * 50}))
    for position, value in changes:
        content[position % len(content)] = value
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "upload").write_bytes(bytes(content[: len(content) - cut]))
        with suppress(ArchiveError):
            root = unpack(folder / "upload", folder / "out")
            assert root.is_relative_to(folder / "out")
        assert {path.name for path in folder.iterdir()} == {"upload", "out"}
