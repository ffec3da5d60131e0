"""Who can change every file is noticed too: by signatures, by the tree, by what was kept elsewhere.

`test_verify.py` has what the chains alone tell.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.records import checkpoints
from adapters.records.checkpoints import Checkpoint
from adapters.records.files import Layout
from adapters.records.problems import Unreadable
from adapters.records.sealing import Sealer
from adapters.records.signing import PublicKey, Signer, read_keys
from adapters.records.verified import Verified
from adapters.records.verify import Reference, Verification, verify, verify_more
from tests.fakes.records import begin, files, fill, lines, rehashed, running_log

LINES = "checkpoints.jsonl"


class Log:
    """Two writers, four checkpoints and more; what an auditor kept of it elsewhere."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kept: Checkpoint | None = None
        self.keys: list[PublicKey] = []

    async def write(self) -> None:
        """In several files, by writers who take turns."""
        with running_log(self.root, "one", segment_bytes=4096) as one:
            await fill(one, 30)
            one.sealer.seal()
            with running_log(self.root, "two") as two:
                await fill(two, 10)
                self.kept = two.sealer.seal()
                await fill(two, 5)
            await fill(one, 10)
        self.keys = read_keys(self.root)
        assert self.ask().problems == []

    def ask(self) -> Verification:
        """Verify it against what was kept."""
        return verify(self.root, Reference(self.kept, self.keys))

    def alone(self) -> Verification:
        """Verify it against nothing but itself."""
        return verify(self.root)

    def edit(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """Change the lines of the checkpoints."""
        path = self.root / LINES
        path.write_bytes(b"".join(change(lines(path))))

    def rechain(self, writer: str, sequence: int | None, **changes: Any) -> None:
        """Change one record, and make all hashes after it fit, as who knows the format can."""
        prev = ""
        for path in files(self.root):
            if not path.name.startswith(f"{writer}-"):
                continue
            found = lines(path)
            for number, line in enumerate(found):
                record = json.loads(line)
                more = changes if sequence in (None, record["sequence"]) else {}
                if prev or more:
                    found[number] = rehashed(line, **{**record, "prev": prev or "0" * 64, **more})
                prev = json.loads(found[number])["hash"]
            path.write_bytes(b"".join(found))

    def sign_anew(self, key_of: Path | None = None) -> None:
        """Make tree and checkpoints again over what is there now."""
        shutil.rmtree(self.root / "tree")
        (self.root / LINES).unlink()
        signing = None if key_of is None else key_of / "signing.pem"
        Sealer(Layout(self.root), Signer(self.root, signing)).seal()


@pytest.fixture
async def log(tmp_path: Path) -> Log:
    """Written and whole."""
    found = Log(tmp_path / "log")
    await found.write()
    return found


def changed(line: bytes, **fields: Any) -> bytes:
    """A checkpoint with other fields and its old signature."""
    document = {**json.loads(line), **fields}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


CHECKPOINTS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a size changed": (lambda found: [changed(found[0], tree_size=5), *found[1:]], "altered"),
    "a time changed": (
        lambda found: [changed(found[0], time="2030-01-01T00:00:00.000000Z"), *found[1:]],
        "altered",
    ),
    "a root changed": (lambda found: [*found[:-1], changed(found[-1], root="0" * 64)], "altered"),
    "a line spelled otherwise": (
        lambda found: [found[0].replace(b":", b": ", 1), *found[1:]],
        "altered",
    ),
    "a line that is none": (lambda found: [found[0], b"{}\n", *found[2:]], "altered"),
    "the first removed": (lambda found: found[1:], "removed"),
    "one in the middle removed": (lambda found: [*found[:2], *found[3:]], "removed"),
    "the last removed": (lambda found: found[:-1], "truncated"),
    "the last two removed": (lambda found: found[:-2], "truncated"),
    "all removed": (lambda _: [], "truncated"),
    "two exchanged": (lambda found: [found[1], found[0], *found[2:]], "altered"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
async def test_checkpoints_that_were_changed_are_noticed_without_any_other(
    name: str, log: Log
) -> None:
    """And records are not accused of it."""
    change, kind = CHECKPOINTS[name]
    log.edit(change)
    found = log.alone().problems
    assert kind in {each.kind for each in found}, found
    assert {each.file for each in found} == {LINES}


async def test_a_chain_written_anew_is_located_to_the_record(log: Log) -> None:
    """Every hash fits, and the signed tree still says which record was another one."""
    log.rechain("one", 7, actor="somebody else")
    found = log.alone().problems
    assert ("one", 7, "altered") in {(each.writer, each.sequence, each.kind) for each in found}
    assert min(each.sequence or 0 for each in found if each.writer == "one") == 7
    assert {each.writer for each in found} == {"one"}


async def test_a_chain_written_anew_with_its_tree_is_not_what_was_signed(log: Log) -> None:
    """Tree and checkpoints made to fit with a key of the attacker's own."""
    log.rechain("one", 7, actor="somebody else")
    log.sign_anew(log.root.parent / "attacker")
    found = log.ask().problems
    assert ("keys.json", "replaced") in {(each.file, each.kind) for each in found}
    assert "replaced" in {each.kind for each in found if each.writer == "one"}


async def test_who_has_the_key_too_is_noticed_by_a_checkpoint_that_was_kept(log: Log) -> None:
    """Nothing in the directory is odd: what somebody else has of it is."""
    log.rechain("one", 7, actor="somebody else")
    log.sign_anew()
    assert log.alone().problems == []
    found = log.ask().problems
    assert (LINES, "replaced") in {(each.file, each.kind) for each in found}
    assert "replaced" in {each.kind for each in found if each.writer == "one"}
    assert "replaced" not in {each.kind for each in found if each.writer == "two"}


async def test_another_log_in_its_place_is_noticed(log: Log, tmp_path: Path) -> None:
    """Whole in itself, with writers of the same names and its own keys."""
    other = Log(tmp_path / "other")
    await other.write()
    shutil.rmtree(log.root)
    shutil.copytree(other.root, log.root)
    assert log.alone().problems == []
    found = log.ask().problems
    assert ("keys.json", "replaced") in {(each.file, each.kind) for each in found}
    assert {each.writer for each in found if each.kind == "replaced"} >= {"one", "two"}


async def test_an_end_cut_off_with_its_checkpoints_is_noticed(log: Log) -> None:
    """Log, tree and checkpoints all end earlier, in good order, with the key that is there."""
    with running_log(log.root, "three") as three:
        await fill(three, 3)
        log.kept = three.sealer.seal()
    for path in [*log.root.glob("*/three-*")]:
        path.unlink()
    log.sign_anew()
    assert log.alone().problems == []
    found = {(each.writer, each.kind) for each in log.ask().problems}
    assert ("three", "removed") in found


async def test_checkpoints_cut_off_behind_one_that_was_kept_are_noticed(log: Log) -> None:
    """Of a system that was killed, where an end without a checkpoint is no problem."""
    log.edit(lambda found: found[:1])
    path = files(log.root)[-1]
    path.write_bytes(b"".join(lines(path)[:-1]))
    found = {(each.file, each.kind) for each in log.ask().problems}
    assert (LINES, "truncated") in found


async def test_a_shorter_history_signed_with_the_same_key_is_noticed(log: Log) -> None:
    """Everything removed, and a new beginning written in its place."""
    for name in ("segments", "payloads", "tree", "index"):
        shutil.rmtree(log.root / name)
    (log.root / LINES).unlink()
    with running_log(log.root, "one") as one:
        await fill(one, 1)
    assert log.alone().problems == []
    assert "replaced" in {each.kind for each in log.ask().problems}


async def test_keys_that_were_replaced_are_noticed(log: Log, tmp_path: Path) -> None:
    """Private and public one alike, and everything signed again with them."""
    (log.root / "signing.pem").unlink()
    (log.root / "keys.json").unlink()
    log.sign_anew()
    assert log.alone().problems == []
    assert {
        (each.file, each.kind) for each in verify(log.root, Reference(None, log.keys)).problems
    } == {("keys.json", "replaced")}
    assert ("keys.json", "replaced") in {(each.file, each.kind) for each in log.ask().problems}


async def test_a_key_that_was_rotated_is_no_problem(log: Log) -> None:
    """Who trusted the old one trusts what the new one signs."""
    Signer(log.root).rotate()
    with running_log(log.root, "three") as three:
        await fill(three, 3)
    assert log.ask().problems == []


@pytest.mark.parametrize("text", [None, b"{", b'{"keys":[]}'])
async def test_a_list_of_keys_that_was_damaged_is_noticed(text: bytes | None, log: Log) -> None:
    """Altered, emptied or gone."""
    path = log.root / "keys.json"
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    assert {each.file for each in log.alone().problems} == {"keys.json"}


async def test_payloads_exchanged_between_records_are_noticed(log: Log) -> None:
    """Each by itself is what some record committed to."""
    path = log.root / "payloads" / "two-000000.jsonl"
    one, two, *rest = lines(path)
    numbers = [json.loads(each)["sequence"] for each in (one, two)]
    swapped = [
        two.replace(b'"sequence":%d' % numbers[1], b'"sequence":%d' % numbers[0]),
        one.replace(b'"sequence":%d' % numbers[0], b'"sequence":%d' % numbers[1]),
    ]
    path.write_bytes(b"".join([*swapped, *rest]))
    assert [(each.writer, each.sequence, each.kind) for each in log.alone().problems] == [
        ("two", number, "altered") for number in numbers
    ]


async def test_a_segment_under_another_writers_name_is_noticed(log: Log) -> None:
    """Continued under the other's next number."""
    path = files(log.root)[0]
    assert path.name == "one-000000.jsonl"
    path.rename(path.with_name("two-000001.jsonl"))
    found = log.alone().problems
    assert ("two", "two-000001.jsonl", "replaced") in {(e.writer, e.file, e.kind) for e in found}
    assert ("one", "removed") in {(each.writer, each.kind) for each in found}


async def test_what_is_no_file_is_named_and_never_read(log: Log) -> None:
    """A pipe or a device would be read for ever."""
    last = files(log.root)[-1]
    os.mkfifo(log.root / "segments" / "three-000000.jsonl")
    (log.root / "segments" / "four-000000.jsonl").symlink_to("/dev/zero")
    (log.root / "segments" / "five-000000.jsonl").symlink_to("five-000000.jsonl")
    (log.root / "payloads" / last.name).unlink()
    os.mkfifo(log.root / "payloads" / last.name)
    found = {(each.file, each.kind) for each in log.alone().problems}
    names = {"three-000000.jsonl", "four-000000.jsonl", "five-000000.jsonl"}
    assert {(name, "inserted") for name in names} <= found
    assert (last.name, "removed") in found
    (log.root / LINES).unlink()
    os.mkfifo(log.root / LINES)
    with pytest.raises(Unreadable, match="it is no file"):
        log.alone()


async def test_a_payload_with_a_number_beyond_reason_is_altered(log: Log) -> None:
    """Python does not read a number of so many digits."""
    path = log.root / "payloads" / files(log.root)[0].name
    line = b'{"sequence":%s,"salt":"%s","payload":{}}\n' % (b"9" * 5000, b"0" * 32)
    path.write_bytes(path.read_bytes() + line)
    assert (path.name, "altered") in {(each.file, each.kind) for each in log.alone().problems}


async def test_a_tree_that_was_lost_is_no_problem_and_a_changed_one_accuses_nobody(
    log: Log,
) -> None:
    """Its files can be made again from the rest."""
    [leaves] = (log.root / "tree").glob("leaves-*")
    data = leaves.read_bytes()
    leaves.write_bytes(b"x" * 32 + data[32:])
    assert log.ask().problems == []
    shutil.rmtree(log.root / "tree")
    assert log.ask().problems == []


async def test_a_crash_is_no_problem_and_what_came_after_it_is_covered(log: Log) -> None:
    """No closing record, a torn line, requests under way; then another process comes."""
    with running_log(log.root, "three") as three:
        await fill(three, 3)
        three.add(begin(50))
        await three.flushed()
        three.sealer.seal()
        three.add(begin(51))
        await three.flushed()
        three._finish = lambda: None  # type: ignore[method-assign]
    assert three._file is not None
    three._file.close()
    path = log.root / "segments" / "three-000000.jsonl"
    path.write_bytes(path.read_bytes() + b'{"torn')
    torn = (log.root / LINES).read_bytes() + b'{"heads"'
    (log.root / LINES).write_bytes(torn)
    with running_log(log.root, "four"):
        pass
    assert log.ask().problems == []
    newest = checkpoints.newest(Layout(log.root))
    assert newest is not None
    assert newest.heads["three"].sequence == 13


async def test_a_verification_goes_on_from_the_one_before(log: Log, tmp_path: Path) -> None:
    """Only new files are read, and what is wrong in them is found."""
    found, seen = verify_more(log.root, Reference())
    assert found.ok
    seen.write(tmp_path / "seen.json")
    again = Verified.read(tmp_path / "seen.json")
    assert again == seen
    with running_log(log.root, "three") as three:
        await fill(three, 3)
    second, later = verify_more(log.root, Reference(since=again))
    assert second.problems == []
    assert 8 <= second.records < found.records / 2
    assert later.tree_size == found.tree_size + 8
    path = log.root / "segments" / "three-000000.jsonl"
    kept = lines(path)
    path.write_bytes(b"".join([*kept[:3], *kept[4:]]))
    third, unchanged = verify_more(log.root, Reference(since=later))
    assert {(each.writer, each.kind) for each in third.problems} == {("three", "removed")}
    assert unchanged == later  # what has a problem is not remembered as verified
    shutil.copy(tmp_path / "seen.json", tmp_path / "kept.json")
    log.edit(lambda found: found[:1])
    fourth, _ = verify_more(log.root, Reference(since=later))
    assert (LINES, "truncated") in {(each.file, each.kind) for each in fourth.problems}


@pytest.mark.parametrize("how", ["removed", "emptied"])
async def test_all_checkpoints_of_a_log_that_is_being_written(tmp_path: Path, how: str) -> None:
    """The tree knows that there were some, also where no writer has closed the log yet."""
    with running_log(tmp_path / "log", "one") as one:
        await fill(one, 10)
        assert verify(tmp_path / "log").ok  # before the first, none is missing
        one.sealer.seal()
        assert verify(tmp_path / "log").ok
        shutil.copytree(tmp_path / "log", tmp_path / "copy")
    place = tmp_path / "copy" / LINES
    place.unlink() if how == "removed" else place.write_bytes(b"")
    (problem,) = verify(tmp_path / "copy").problems
    assert (problem.kind, problem.file) == ("removed", LINES)
