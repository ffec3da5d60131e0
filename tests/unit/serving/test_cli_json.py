"""Every command speaks to programs as well: `--json`, one document on standard output."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from router.admit.keys import hash_key
from serving.cli.main import app
from tests.fakes.deploying import deploy


def run(*words: str) -> tuple[int, Any]:
    """Exit code, and what standard output holds, which is JSON and nothing else."""
    done = CliRunner().invoke(app, list(words))
    assert done.stdout, done.exc_info
    return done.exit_code, json.loads(done.stdout)


def commands(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    inner = getattr(found, "commands", None)
    if inner is None:
        yield " ".join(path), found
        return
    for name, each in inner.items():
        yield from commands(each, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_help(name: str) -> None:
    """And says what it does, and what each option means."""
    command = COMMANDS[name]
    options = {word: each for each in command.params for word in each.opts}
    assert "--json" in options, name
    assert command.help, name
    assert all(each.help for each in options.values()), name


def test_a_deploy_file_is_checked(tmp_path: Path) -> None:
    """What is wrong with it is listed."""
    code, told = run("check", "config/local.yaml", "--json")
    assert (code, told["ok"], told["problems"], told["base"]) == (0, True, [], "embedded")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("applications: []\n", encoding="utf-8")
    code, told = run("check", str(wrong), "--json")
    assert (code, told["ok"]) == (1, False)
    assert told["problems"]


def test_a_first_file_is_written(tmp_path: Path) -> None:
    """Questions go to standard error, the key that was made into the document."""
    file = tmp_path / "one.yaml"
    assert run("init", str(file), "--yes", "--json") == (0, {"file": str(file), "key": None})
    open_to_all = tmp_path / "two.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "serving.cli", "init", str(open_to_all), "--json"],
        input="\n\n0.0.0.0\n\n\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["file"] == str(open_to_all)
    (key,) = deploy.load(open_to_all).settings.router.auth.keys
    assert key.sha256 == hash_key(told["key"])


def test_a_key_is_made() -> None:
    """With the entry that recognises it."""
    code, told = run("keys", "new", "--name", "ops", "--scope", "admin", "--json")
    assert code == 0
    assert told["entry"] == {
        "name": "ops",
        "tenant": "default",
        "scopes": ["admin"],
        "sha256": hash_key(told["key"]),
    }
