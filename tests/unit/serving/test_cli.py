"""The command line against the real admin app, on a fake fleet, over a real socket."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.format.manifest import digest_directory
from router.admit.keys import Keyring, load_keys
from router.config.auth import AuthConfig
from serving.cli.main import app
from serving.cli.pack import CannotPack, Pack
from serving.embedded import ADAPTERS_DIR
from tests.fakes import deciding
from tests.fakes.admin_server import AdminServer, admin_server, in_thread
from tests.fakes.exchanges import LIVE
from tests.fakes.peft_dirs import members_of, tar_bytes
from tests.fakes.router_process import listening
from tests.fakes.tiny_adapter import BASE, tiny_adapter
from tests.fakes.trainers import TRAINERS
from tests.fakes.wire import Piece, Reset, body, head, wire

REPO = Path(__file__).resolve().parents[3]
GRAFTWORK = (sys.executable, "-c", "from serving.cli import main; main()")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AdminServer]:
    """A running admin plane with two engines."""
    with admin_server(tmp_path) as running:
        yield running


def run(*arguments: object, url: str = NOWHERE, key: str | None = None) -> Result:
    """A command as a person would type it."""
    environment = {"GRAFTWORK_URL": url, "GRAFTWORK_API_KEY": key}
    return CliRunner(env=environment).invoke(app, [str(argument) for argument in arguments])


def one_line(result: Result, code: int = 1) -> str:
    """What the command said on its way out with ``code``."""
    assert result.exit_code == code, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


# Without a server


def test_help_lists_commands_and_is_light() -> None:
    """`graftwork --help` names every command and imports nothing that is heavy."""
    script = (
        "import sys\nfrom serving.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'ray', 'vllm', 'torch', 'router', 'adapters', 'numpy', 'pydantic', 'httpx'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in ("serve", "check", "push", "adapters", "promote", "rollback", "export", "keys"):
        assert f"\n  {command} " in done.stdout


def test_version() -> None:
    """`--version` says one line and needs no command."""
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("graftwork")


@pytest.mark.parametrize(
    "arguments",
    [("adapters",), ("replicas",), ("events",), ("decide", "hello"), ("rollback", "returns")],
)
def test_nobody_answers(arguments: tuple[str, ...]) -> None:
    """When nothing listens, one line says so and what to do about it."""
    assert "graftwork serve" in one_line(run(*arguments))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://127.0.0.1", "http://[", "nonsense"])
def test_url_that_is_none(url: str) -> None:
    """A URL that cannot be one is named."""
    assert "is not a URL" in one_line(run("adapters", url=url))


def test_usage_errors_exit_with_2(tmp_path: Path) -> None:
    """What was typed wrong exits with 2: commands, paths, shares without a stage."""
    adapter = tiny_adapter(tmp_path)
    for arguments in (
        ("pusch",),
        ("push", "returns", tmp_path / "absent"),
        ("push", "returns", adapter, "--percent", "5"),
        ("push", "returns", adapter, "--stage", "canary", "--percent", "101"),
        ("push", "returns", adapter, "--stage", "everywhere"),
        ("canary", "returns", "0123456789ab"),
        ("keys", "new", "--name", "me", "--scope", "everything"),
    ):
        assert run(*arguments).exit_code == 2, arguments


# Preflight offline


def test_check_adapter_shows_every_check() -> None:
    """A good adapter passes, with one row for every check."""
    result = run("check-adapter", ADAPTERS_DIR / "returns")
    assert result.exit_code == 0, result.output
    assert "ok       tensor-shapes" in result.stdout
    assert result.stdout.rstrip().endswith("fit for graftwork-retail-4m")


def test_check_adapter_that_fails(tmp_path: Path) -> None:
    """A bad adapter exits with 1; every failed check has what was found and what was expected."""
    result = run("check-adapter", tiny_adapter(tmp_path, broken=True))
    assert "checks failed" in one_line(result)
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    assert any("finite" in line for line in failed)
    assert any("declared-base" in line and "graftwork-retail-4m" in line for line in failed)


def test_check_adapter_takes_an_archive_and_speaks_json(tmp_path: Path) -> None:
    """An archive is unpacked first; --json prints the report with the digest of the version."""
    archive = tmp_path / "returns.tar.gz"
    archive.write_bytes(tar_bytes(members_of(ADAPTERS_DIR / "returns"), gzipped=True))
    report = json.loads(run("check-adapter", archive, "--json").stdout)
    assert report["ok"]
    assert report["digest"] == digest_directory(ADAPTERS_DIR / "returns")


def test_check_adapter_against_a_lower_rank() -> None:
    """--max-rank is the rank that the engine takes."""
    result = run("check-adapter", ADAPTERS_DIR / "returns", "--max-rank", "4")
    assert result.exit_code == 1
    assert any("rank" in line and "1 to 4" in line for line in result.stdout.splitlines())


def test_check_adapter_of_what_is_no_archive(tmp_path: Path) -> None:
    """A file that is no archive is one line, not a stack trace."""
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert "neither tar, gzip nor zip" in one_line(run("check-adapter", path))


def test_dry_run_sends_nothing(tmp_path: Path) -> None:
    """`push --dry-run` needs no server: it accepts a good adapter and refuses a bad one."""
    accepted = run("push", "returns", ADAPTERS_DIR / "returns", "--dry-run")
    assert accepted.exit_code == 0
    assert "would be accepted" in accepted.stdout
    refused = run("push", "returns", tiny_adapter(tmp_path, broken=True), "--dry-run")
    assert refused.exit_code == 1
    assert "finite" in refused.stderr
    assert refused.stderr.splitlines()[-1].endswith("failed")


def test_a_terminal_shows_text_as_it_is(tmp_path: Path) -> None:
    """On a terminal, markup and control sequences of an adapter are shown, not obeyed."""
    adapter = tiny_adapter(tmp_path)
    (adapter / "[red]\x1b[2Jx.bin").write_bytes(b"x")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*GRAFTWORK, "check-adapter", str(adapter)],
        cwd=REPO,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "300", "TERM": "xterm"},
    ):
        os.close(theirs)
        shown = _read_screen(ours)
    assert b"[red]" in shown
    assert b"\x1b[2J" not in shown


def _read_screen(terminal: int) -> bytes:
    shown = b""
    with os.fdopen(terminal, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        # On Linux the end of a terminal is an error.
        while piece := screen.read(65536):
            shown += piece
    return shown


# Packing


def test_pack_is_the_directory(tmp_path: Path) -> None:
    """The tar holds exactly the adapter's files, and its length was known before."""
    directory = tiny_adapter(tmp_path / "adapter")
    (directory / "vocab.json").touch()
    (directory / "README.md").write_text("x" * 513)
    (directory / "_SUCCESS").touch()
    (directory / "optimizer.pt").write_text("y")
    (directory / "checkpoint-5").mkdir()
    tiny_adapter(directory / "checkpoint-5")
    sent: list[int] = []
    pack = Pack(directory, "returns")
    data = b"".join(pack.pieces(sent.append))
    assert len(data) == pack.size_bytes == sum(sent)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        packed = {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]
    names = ("README.md", "adapter_config.json", "adapter_model.safetensors", "vocab.json")
    assert packed == {name: (directory / name).read_bytes() for name in names}


def test_pack_refuses_links_and_emptiness(tmp_path: Path) -> None:
    """A link may lead to what nobody wants to publish: it is named, not followed."""
    with pytest.raises(CannotPack, match="holds no files"):
        Pack(tmp_path, "returns")
    (tmp_path / "adapter_config.json").symlink_to("/etc/hostname")
    (tmp_path / "adapter_model.safetensors").symlink_to("/etc/hostname")
    with pytest.raises(CannotPack, match=r"config\.json, adapter_model\.safetensors: links or dev"):
        Pack(tmp_path, "returns")


def test_pack_says_which_directories_hold_adapters(tmp_path: Path) -> None:
    """All of them, however many; and what to do where there is none."""
    for number in range(8):
        tiny_adapter(tmp_path / "many" / f"run{number}", number)
    with pytest.raises(CannotPack) as refused:
        Pack(tmp_path / "many", "returns")
    assert all(f"run{number}" in str(refused.value) for number in range(8))
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "model.safetensors").touch()
    with pytest.raises(CannotPack, match="a whole model"):
        Pack(tmp_path / "merged", "returns")


@pytest.mark.parametrize("change", [b"", b"much longer than before"])
def test_pack_notices_a_change(tmp_path: Path, change: bytes) -> None:
    """A file that grew or shrank since it was measured ends the push, not in a torn tar."""
    path = tmp_path / "adapter_config.json"
    path.write_bytes(b"{    }")
    pack = Pack(tmp_path, "returns")
    path.write_bytes(change)
    with pytest.raises(CannotPack, match="changed while it was read"):
        list(pack.pieces(lambda _: None))


# Publishing


def test_push_serves_and_is_listed(server: AdminServer) -> None:
    """A pushed directory is live on every engine when the command ends, and the list marks it."""
    result = run("push", "returns", server.path.adapter(1), url=server.url)
    digest = server.path.digest(1)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"returns@{digest[:12]} is live")
    assert server.path.fleet.holding("two") == {f"returns@{digest[:12]}"}
    headings, row = run("adapters", url=server.url).stdout.splitlines()
    assert headings.split()[:4] == ["adapter", "version", "state", "live"]
    assert row.split()[:4] == ["returns", digest[:12], "live", "*"]


def test_push_of_known_bytes(server: AdminServer) -> None:
    """Pushing the same bytes again says that they are known, also as an archive."""
    server.push("returns", 1)
    archive = server.path.root / "again.tgz"
    archive.write_bytes(tar_bytes(members_of(server.path.adapter(1)), gzipped=True))
    for source in (server.path.adapter(1), archive):
        result = run("push", "returns", source, url=server.url)
        assert result.exit_code == 0, result.output
        assert "is known already: live" in result.stdout


def test_push_refused(server: AdminServer, tmp_path: Path) -> None:
    """A refused push exits with 1, with a row for each failed check and the error's code."""
    bad = tiny_adapter(tmp_path / "bad", broken=True)
    result = run("push", "returns", bad, url=server.url)
    assert result.exit_code == 1
    assert result.stdout == ""
    *rows, last = result.stderr.splitlines()
    assert rows[0].split()[:3] == ["check", "found", "expected"]
    assert [row.split()[:2] for row in rows[1:]] == [["FAILED", "finite"]]
    assert last.endswith("(adapter_rejected)")
    answer = json.loads(run("push", "returns", bad, "--json", url=server.url).stdout)
    assert answer["error"]["code"] == "adapter_rejected"


@pytest.mark.parametrize("trainer", TRAINERS)
def test_push_of_a_trainers_folder(server: AdminServer, tmp_path: Path, trainer: str) -> None:
    """The adapter in it is live; what training left behind is not even sent."""
    root = TRAINERS[trainer](tmp_path / "run", BASE)
    result = run("push", "returns", tmp_path / "run", url=server.url)
    assert result.exit_code == 0, result.output
    assert f"returns@{digest_directory(tmp_path / 'run' / root)[:12]} is live" in result.stdout


def test_a_refusal_names_every_file(server: AdminServer, tmp_path: Path) -> None:
    """Not the first five."""
    bad = tiny_adapter(tmp_path / "bad")
    for number in range(9):
        (bad / f"part{number}.safetensors").touch()
    shown = run("push", "returns", bad, url=server.url).stderr
    assert all(f"part{number}.safetensors" in shown for number in range(9))


def test_push_without_waiting(server: AdminServer) -> None:
    """--no-wait returns when the version is stored, and says where to look."""
    server.path.fleet.load_s = 0.5
    result = run("push", "returns", server.path.adapter(1), "--no-wait", url=server.url)
    assert result.exit_code == 0, result.output
    assert "graftwork adapters returns" in result.stdout


def test_push_as_canary(server: AdminServer) -> None:
    """A canary is listed with its share, and the live version stays."""
    server.push("returns", 1)
    arguments = ("push", "returns", server.path.adapter(2), "--stage", "canary", "--percent", "5")
    assert run(*arguments, url=server.url).exit_code == 0
    listed = run("adapters", "returns", url=server.url).stdout
    assert any("canary" in line and "5 %" in line for line in listed.splitlines())
    assert any("live" in line and " * " in line for line in listed.splitlines())


def test_push_that_no_engine_takes(server: AdminServer) -> None:
    """A publish that fails in the engines is said in one line."""
    server.path.fleet.die("one")
    server.path.fleet.die("two")
    line = one_line(run("push", "returns", server.path.adapter(1), url=server.url))
    assert line.endswith("(publish_failed)")


def test_moves(server: AdminServer) -> None:
    """promote, rollback, canary, shadow and retire say where each version then stands."""
    first, second = server.push("returns", 1), server.push("returns", 2)
    name = f"returns@{first[:12]}"
    for arguments, said in (
        (("promote", "returns", first), f"{name} is live"),
        (("promote", "returns", first[:12]), f"{name} is live (nothing had to be done)"),
        (("rollback", "returns"), f"returns@{second[:12]} is live"),
        (("canary", "returns", first, "10"), f"{name} is canary"),
        (("shadow", "returns", first, "10"), f"{name} is shadow"),
    ):
        result = run(*arguments, url=server.url)
        assert result.exit_code == 0, result.output
        assert result.stdout.strip() == said
    retired = run("retire", "returns", url=server.url)
    assert retired.exit_code == 0, retired.output
    assert sorted(line.split()[0] for line in retired.stdout.splitlines()) == sorted(
        [name, f"returns@{second[:12]}"]
    )
    server.portal.call(server.path.idle)
    again = run("retire", "returns", url=server.url)
    assert again.exit_code == 0
    assert "nothing had to be done" in again.stdout


def test_merging_needs_the_right_base(server: AdminServer, tmp_path: Path) -> None:
    """The version comes down, and its manifest says that it belongs to another base."""
    server.push("returns", 1)
    target = tmp_path / "merged"
    result = run("export", "returns", "--merged", target, url=server.url)
    assert "name that base with --base" in one_line(result)
    assert not target.exists()


def test_cleaning_the_store(server: AdminServer) -> None:
    """A dry run says what would go; then it goes, and there is nothing more."""
    server.path.rollout._collector._keep_s = 0.0
    for seed in (1, 2):
        server.push("returns", seed)
    assert run("retire", "returns", url=server.url).exit_code == 0
    server.portal.call(server.path.idle)
    for flags, versions, verb in (
        (["--dry-run"], "2", "would be freed"),
        ([], "2", "freed"),
        ([], "0", "freed"),
    ):
        result = run("gc", *flags, url=server.url)
        assert result.exit_code == 0, result.output
        words = result.stdout.splitlines()[-1].split()
        assert (words[0], " ".join(words[4:])) == (versions, verb)
    assert not server.path.store.exists("returns", server.path.digest(1))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("adapters", "nobody"), "unknown_alias"),
        (("promote", "nobody", "0123456789ab"), "unknown_"),
        (("promote", "returns", "short"), "invalid_value"),
        (("rollback", "nobody"), "unknown_alias"),
        (("export", "nobody"), "unknown_alias"),
        (("push", "UPPER", "."), "bad_alias"),
    ],
)
def test_refusals_are_one_line(server: AdminServer, arguments: tuple[str, ...], code: str) -> None:
    """What the server refuses is one line with its code."""
    directory = str(server.path.adapter(1))
    given = [directory if argument == "." else argument for argument in arguments]
    assert code in one_line(run(*given, url=server.url))


def test_json_is_the_servers_answer(server: AdminServer) -> None:
    """--json prints what the server answered, and its error when it refused."""
    digest = server.push("returns", 1)
    listed = json.loads(run("adapters", "--json", url=server.url).stdout)
    assert listed["data"][0]["live"] == digest
    refused = run("promote", "returns", "f" * 64, "--json", url=server.url)
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["code"] == "unknown_version"


# Export


def test_export_writes_the_bundle(
    server: AdminServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live version, and a pinned one, become a tar.gz named after the version."""
    digest = server.push("returns", 1)
    pinned = f"returns@{digest[:12]}"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("export", "returns", url=server.url).exit_code == 0
    with tarfile.open(f"{pinned}.tar.gz") as tar:
        assert f"{pinned}/adapter_model.safetensors" in tar.getnames()
    result = run("export", pinned, "--output", "copy.tar", url=server.url)
    assert result.exit_code == 0, result.output
    assert Path("copy.tar").read_bytes() == Path(f"{pinned}.tar.gz").read_bytes()
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["copy.tar", f"{pinned}.tar.gz"]


def test_export_into_nowhere(server: AdminServer, tmp_path: Path) -> None:
    """A place that cannot be written is one line."""
    server.push("returns", 1)
    target = tmp_path / "absent" / "x.tar"
    assert "cannot be written" in one_line(
        run("export", "returns", "--output", target, url=server.url)
    )


def test_export_that_is_cut(tmp_path: Path) -> None:
    """A download that breaks leaves nothing behind, and what was there stays."""
    target = tmp_path / "x.tar"
    target.write_text("the last export")
    cut: list[Piece] = [head(200, "application/x-tar", Content_Length="1000"), b"half", Reset()]
    with in_thread(wire(cut)) as (running, _):
        result = run("export", "returns", "--output", target, url=running.url)
    assert "broke" in one_line(result)
    assert target.read_text() == "the last export"
    assert list(tmp_path.iterdir()) == [target]


def test_export_keeps_to_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server cannot choose a file name that leads out of the directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    hostile = body(b"x", Content_Disposition='attachment; filename="../../evil"')
    with in_thread(wire([hostile])) as (running, _):
        assert run("export", "returns", url=running.url).exit_code == 0
    assert [path.name for path in Path.cwd().iterdir()] == ["returns.tar.gz"]


# Looking


def test_replicas(server: AdminServer) -> None:
    """Each engine is a row with what it holds."""
    digest = server.push("returns", 1)
    _, one, two = run("replicas", url=server.url).stdout.splitlines()
    assert one.split() == ["one", "yes", "tiny", "3", f"returns@{digest[:12]}"]
    assert two.startswith("two")


def test_decide_tells_the_local_price(tmp_path: Path) -> None:
    """What it is, and where it comes from."""
    config = {"routing": {"local": {"price": {"replica_hour_usd": 3.6}}}}
    with in_thread(listening(tmp_path, config, deciding.world(deciding.returns()))) as (url, _):
        lines = run("decide", "hello", url=url).stdout.splitlines()
    assert "price   local 2/10 USD a million tokens in/out, starting" in lines


def test_decide(tmp_path: Path) -> None:
    """Every candidate of a running router with rank, price, quality and reason; then a refusal."""
    rules = [{"name": "no [bold] names", "effect": "deny", "targets": ["frontier:*"]}]
    config = {
        "auto": {"intents": [{"name": "returns", "alias": "returns", "keywords": ["return"]}]},
        "routing": {"frontiers": ["*"], "routes": {"returns": {"risk": 0.2}}},
        "policy": {"rules": rules},
        "providers": deciding.config().model_dump(mode="json")["providers"],
    }
    here = deciding.world(deciding.returns())
    with in_thread(listening(tmp_path, config, here)) as (url, _):
        lines = run("decide", "Can I return it?", url=url).stdout.splitlines()
        refused = run("decide", "hello", "--model", deciding.BIG, url=url).stdout
        told = json.loads(run("decide", "Can I return it?", "--json", url=url).stdout)
    live = f"adapter:returns@{LIVE[:12]}"
    assert lines[0] == "intent  returns (0.90)"
    assert lines[1] == f"target  {live}"
    assert lines[2] == "how     ranked, route returns, bound 0.2"
    rows = {line.split()[1]: line.split() for line in lines[7:]}
    assert rows[live][:5] == ["1", live, "intent", "0.000000", "0.860"]
    assert rows["base"][2] == "risk_exceeded"
    denied = rows[f"frontier:{deciding.BIG}"]
    assert (denied[0], denied[2]) == ("-", "policy_denied")
    assert "rule 'no [bold] names' denies it" in " ".join(denied)
    assert "target  none: policy_denied" in refused
    assert told["target"] == live


def test_events_that_are_remembered(server: AdminServer) -> None:
    """`events` prints what is remembered, one line each, and ends by itself."""
    digest = server.push("returns", 1)
    lines = run("events", url=server.url).stdout.splitlines()
    assert any("version-received" in line and f"returns@{digest[:12]}" in line for line in lines)
    numbers = [
        json.loads(line)["seq"]
        for line in run("events", "--json", url=server.url).stdout.splitlines()
    ]
    assert numbers == list(range(1, len(lines) + 1))


def test_events_are_followed(server: AdminServer) -> None:
    """`events --follow` prints what happens after it started; Ctrl-C ends it without noise."""
    following = subprocess.Popen(
        [*GRAFTWORK, "events", "--follow", "--url", server.url],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert following.stdout is not None
    with following:
        server.push("returns", 1)
        assert "version-received" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate(timeout=60)
    assert following.returncode == 0
    assert errors == ""


# Keys and strange servers


def test_the_key_is_sent_and_asked_for() -> None:
    """The key goes into the header; a 401 says how to give one."""
    error = b'{"error": {"message": "You did not provide an API key.", "code": "missing_api_key"}}'
    with in_thread(wire([body(error, 401)])) as (running, _):
        line = one_line(run("adapters", url=running.url, key="gw-secret"))
    assert "GRAFTWORK_API_KEY" in line
    assert "gw-secret" not in line
    assert "authorization: bearer gw-secret" in running.heads[0].lower()


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_server_of_another_kind(status: int) -> None:
    """An answer that is not Graftwork's is one line that doubts the URL."""
    with in_thread(wire([body(b"<html>hello</html>", status)])) as (running, _):
        assert "is --url right?" in one_line(run("replicas", url=running.url))


def test_an_error_of_many_lines_is_one_line() -> None:
    """Line breaks and control characters in a server's message do not reach the terminal."""
    error = json.dumps({"error": {"message": "one\ntwo\x1b[2J", "code": "odd"}}).encode()
    with in_thread(wire([body(error, 500)])) as (running, _):
        line = one_line(run("replicas", url=running.url))
    assert line.startswith("graftwork: one two")
    assert "\x1b" not in line


def test_keys_new_is_recognised(tmp_path: Path) -> None:
    """The entry that `keys new` prints admits the key that it prints, and the key is not in it."""
    result = run("keys", "new", "--name", "me", "--scope", "admin", "--scope", "auditor")
    shown, _, entry = result.stdout.splitlines()
    key = shown.rpartition(" ")[2]
    assert key not in entry
    keys_file = tmp_path / "keys.yaml"
    keys_file.write_text(entry)
    caller = Keyring(load_keys(AuthConfig(keys_file=keys_file))).identify(f"Bearer {key}", None)
    assert (caller.name, sorted(caller.scopes)) == ("me", ["admin", "auditor"])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port", "http://127.0.0.1:99999999", "http://[::1", "http://\x01"]
)
def test_a_url_that_is_none(url: str) -> None:
    """One line with how to write it, and no traceback."""
    assert "http://127.0.0.1:8000" in one_line(run("adapters", url=url))


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment: what to change there; on loopback none is asked."""
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("all_proxy", proxy)
    said = one_line(run("adapters", url="http://graftwork.invalid:8000"))
    assert "NO_PROXY" in said
    assert "graftwork serve" in one_line(run("adapters"))
