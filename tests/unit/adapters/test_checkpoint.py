"""Folders as trainers leave them: the adapter is found, the rest is left out, or is named."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from adapters.format.archive import unpack
from adapters.format.base_model import BaseFacts
from adapters.format.checkpoint import find_adapter, select, selection_of
from adapters.format.manifest import CONTENT_FILES, PASSENGER_FILES, Manifest, digest_directory
from adapters.format.preflight import Report, preflight
from adapters.store.local import LocalStore
from adapters.store.sources import SUCCESS, LocalSource, ObjectSource
from tests.fakes import peft_dirs
from tests.fakes.peft_dirs import members_of, tar_bytes, write_good, zip_bytes
from tests.fakes.trainers import OTHER_FORMATS, TRAINERS


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFacts:
    """A tiny base, read from its files."""
    return peft_dirs.tiny_base(tmp_path_factory.mktemp("base"))


def failures(report: Report) -> dict[str, str]:
    """The failed checks by name."""
    return {check.name: f"{check.found} / {check.message}" for check in report.failed}


def check_taken(folder: Path, base: BaseFacts, expected: str, tmp_path: Path) -> None:
    """The folder's adapter is found, passes, and is stored without anything else."""
    adapter = find_adapter(folder, "returns")
    report = preflight(adapter, base, alias="returns")
    assert failures(report) == {}
    digest = digest_directory(adapter)
    assert digest == expected
    stored = LocalStore(tmp_path / "store").put(adapter, "returns", digest, Manifest())
    names = {path.name for path in stored.path.rglob("*")}
    assert names <= {*CONTENT_FILES, *PASSENGER_FILES, "graftwork.json"}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_trainers_folder_is_taken(trainer: str, base: BaseFacts, tmp_path: Path) -> None:
    """As a directory, and unpacked from a tar or a zip with or without a folder around it."""
    folder = tmp_path / "pushed"
    root = TRAINERS[trainer](folder, base)
    digest = digest_directory(folder / root)
    check_taken(folder, base, digest, tmp_path / "directory")
    for name, data in {
        "tar": tar_bytes(members_of(folder), gzipped=True),
        "zip": zip_bytes(members_of(folder, "my run/")),
    }.items():
        archive = tmp_path / name
        archive.write_bytes(data)
        unpacked = unpack(archive, tmp_path / f"{name}-files")
        assert not [*unpacked.rglob("optimizer.pt"), *unpacked.rglob("*_states.pt")]
        check_taken(unpacked, base, digest, tmp_path / f"{name}-store")


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_watched_store_takes_it_too(trainer: str, base: BaseFacts, tmp_path: Path) -> None:
    """Only the adapter's files are copied, and links among the rest are nobody's business."""
    entry = tmp_path / "watched" / "returns" / "v1"
    root = TRAINERS[trainer](entry, base)
    (entry / "checkpoint-last").symlink_to("/etc")
    digest = digest_directory(entry / root)
    (entry / SUCCESS).touch()
    source = LocalSource(tmp_path / "watched", max_files=40, max_bytes=1 << 20, max_entries=10)
    (found,) = source.scan()
    assert (found.problem, found.complete) == ("", True)
    assert source.fetch(found, tmp_path / "copy")
    assert not [path for path in (tmp_path / "copy").rglob("*") if path.suffix in {".pt", ".bin"}]
    check_taken(tmp_path / "copy", base, digest, tmp_path)


@pytest.mark.parametrize("name", ["checkpoint-last", "checkpoint-5/optimizer.pt", "runs/latest"])
def test_a_link_among_training_state_is_passed_over(
    name: str, base: BaseFacts, tmp_path: Path
) -> None:
    """In a tar and in a zip; nothing is written in its place."""
    members = members_of(write_good(tmp_path / "run", base))
    buffer = io.BytesIO(tar_bytes(members))
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, "checkpoint-5"
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        archive.addfile(link)
    zipped = zip_bytes({**members, name: b"checkpoint-5"}, modes={name: 0o120777})
    for kind, data in (("tar", buffer.getvalue()), ("zip", zipped)):
        (tmp_path / kind).write_bytes(data)
        unpacked = unpack(tmp_path / kind, tmp_path / f"{kind}-files")
        assert not (unpacked / name).is_symlink()
        assert failures(preflight(unpacked, base)) == {}


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_other_formats_are_told_what_to_do(kind: str, base: BaseFacts, tmp_path: Path) -> None:
    """What is not PEFT's is refused with the name of what it is."""
    write, word = OTHER_FORMATS[kind]
    write(tmp_path / "pushed")
    report = preflight(find_adapter(tmp_path / "pushed"), base)
    messages = {check.name: check.message for check in report.failed}
    assert word in messages["files-present"]


def test_several_checkpoints_are_named_to_the_last(base: BaseFacts, tmp_path: Path) -> None:
    """Which of them is meant only the trainer knows: the answer has every directory."""
    steps = [f"checkpoint-{step}" for step in range(100, 900, 100)]
    for step in steps:
        write_good(tmp_path / "run" / step, base)
    report = preflight(find_adapter(tmp_path / "run", "returns"), base, alias="returns")
    found = {check.name: check for check in report.failed}
    assert set(found["one-adapter"].items) == set(steps)
    assert all(step in found["files-present"].message for step in steps)


def test_every_file_that_is_refused_is_named(base: BaseFacts, tmp_path: Path) -> None:
    """More than five of a kind: the list in the answer is complete."""
    adapter = peft_dirs.good(base)
    odd = [f"part{number}.safetensors" for number in range(9)]
    pickles = [f"weights{number}.pkl" for number in range(9)]
    adapter.extra.update(dict.fromkeys((*odd, *pickles, "helper.py"), b"x"))
    report = preflight(adapter.write(tmp_path / "bad"), base)
    found = {check.name: check for check in report.failed}
    assert set(found["allowed-files"].items) == {*odd, "helper.py"}
    assert set(found["no-pickle"].items) == set(pickles)
    assert "and 4 more" in found["no-pickle"].found


def test_what_was_left_out_is_told(base: BaseFacts, tmp_path: Path) -> None:
    """Whoever pushes a whole folder sees which files did not come along."""
    TRAINERS["trl"](tmp_path / "run", base)
    report = preflight(tmp_path / "run", base)
    (check,) = [check for check in report.checks if check.name == "allowed-files"]
    assert check.ok
    assert {"training_args.bin", "checkpoint-500/optimizer.pt"} <= set(check.items)


def test_an_adapter_named_like_the_alias_beside_another_is_a_question(
    base: BaseFacts, tmp_path: Path
) -> None:
    """PEFT writes its default adapter at the top and others below: neither is taken silently."""
    write_good(tmp_path / "run", base)
    write_good(tmp_path / "run" / "returns", base, seed=2)
    report = preflight(tmp_path / "run", base, alias="returns")
    assert set(failures(report)) == {"one-adapter"}
    assert failures(preflight(tmp_path / "run", base, alias="refunds")) == {}
    assert failures(preflight(tmp_path / "run" / "returns", base, alias="returns")) == {}


def test_no_answer_names_a_path_of_the_server(base: BaseFacts, tmp_path: Path) -> None:
    """Whatever is missing, a link or a directory in the place of a file."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "adapter_config.json").symlink_to("/etc/shadow")
    (broken / "adapter_model.safetensors").mkdir()
    (broken / "graftwork.json").mkdir()
    for directory in (broken, tmp_path / "nowhere"):
        report = preflight(directory, base, alias="returns")
        assert not report.ok
        assert str(tmp_path) not in report.model_dump_json()
        assert "/etc" not in report.model_dump_json()


def test_thousands_of_state_files_hide_nothing(base: BaseFacts, tmp_path: Path) -> None:
    """What is left out does not count; what counts is found however much lies before it."""
    folder = write_good(tmp_path / "run", base)
    for number in range(600):
        (folder / "checkpoint-1" / f"a{number:03}").mkdir(parents=True)
        (folder / "checkpoint-1" / f"a{number:03}" / "optimizer.pt").touch()
    assert failures(preflight(folder, base)) == {}
    (folder / "zz.pkl").touch()
    assert set(failures(preflight(folder, base))) == {"no-pickle"}


def test_names_alone_decide() -> None:
    """The outermost adapter that is no checkpoint; one named like the alias before all others."""

    def root(*directories: str, alias: str | None = None) -> str:
        files = ("adapter_config.json", "adapter_model.safetensors")
        names = [f"{each}/{name}".lstrip("/") for each in directories for name in files]
        return select(names, alias).root

    assert root("") == ""
    assert root("out") == "out"
    assert root("out", "out/checkpoint-5", "out/reference") == "out"
    assert root("checkpoint-5", "final") == "final"
    assert root("a", "returns", alias="returns") == "returns"
    assert root("a", "b") == ""
    assert root("checkpoint-5", "checkpoint-6", alias="checkpoint-5") == "checkpoint-5"


def test_a_directory_without_weights_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """A configuration alone is no adapter where another directory has both."""
    names = ("adapter_config.json", "x/adapter_config.json", "x/adapter_model.safetensors")
    assert select(names).root == "x"
    (tmp_path / "adapter_config.json").touch()
    assert selection_of(tmp_path).root == ""


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_bucket_takes_it_too(trainer: str, base: BaseFacts, tmp_path: Path) -> None:
    """Only the adapter's objects are downloaded."""
    folder = tmp_path / "run"
    root = TRAINERS[trainer](folder, base)
    bucket = MemoryStore()
    for name, data in members_of(folder, "returns/v1/").items():
        obstore.put(bucket, name, data)
    source = ObjectSource(bucket, max_files=40, max_bytes=1 << 20)
    (found,) = source.scan()
    assert found.problem == ""
    assert source.fetch(found, tmp_path / "copy")
    assert not [path for path in (tmp_path / "copy").rglob("*") if path.suffix in {".pt", ".bin"}]
    check_taken(tmp_path / "copy", base, digest_directory(folder / root), tmp_path)


def test_an_ambiguous_entry_is_refused_by_every_source(base: BaseFacts, tmp_path: Path) -> None:
    """The problem that goes beside the entry names each directory, and nothing is copied."""
    for number in range(7):
        write_good(tmp_path / "watched" / "returns" / "v1" / f"run{number}", base)
    local = LocalSource(tmp_path / "watched", max_files=40, max_bytes=1 << 20, max_entries=10)
    bucket = MemoryStore()
    for name, data in members_of(tmp_path / "watched").items():
        obstore.put(bucket, name, data)
    for source in (local, ObjectSource(bucket, max_files=40, max_bytes=1 << 20)):
        (found,) = source.scan()
        assert all(f"run{number}" in found.problem for number in range(7))


def test_thousands_of_adapters_are_told_from_each_other_at_once() -> None:
    """Comparing each with each took minutes; what is wrong with them fits on a page."""
    names = [
        f"run-{number}/a{number % 2}/{name}"
        for number in range(20_000)
        for name in ("adapter_config.json", "adapter_model.safetensors")
    ]
    selection = select(names)
    assert len(selection.candidates) == 20_000
    assert "holds 20000 adapters" in selection.ambiguity
    assert selection.ambiguity.endswith("and 19900 more")
