"""What `graftwork serve` says at the end of its start: it can be copied, and it can be read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from serving.cli.banner import banner
from tests.fakes.deploying import deploy as deploying

URL = "http://127.0.0.1:8000"
KEY = {"name": "k", "sha256": "0" * 64, "scopes": ["inference"]}


def said(root: Path, adapters: list[str] | None, **router: Any) -> list[str]:
    """The banner of the shipped configuration with this router section on top."""
    raw = yaml.safe_load(Path("config/local.yaml").read_text(encoding="utf-8"))
    raw["applications"][0]["args"]["router"] |= router
    return banner(deploying.check(raw, "local.yaml"), URL, adapters, str(root / "logs"))


def command(lines: list[str]) -> list[str]:
    """The `curl` as a shell would split it."""
    begin = next(number for number, line in enumerate(lines) if "curl " in line)
    end = lines.index("", begin)
    return shlex.split("\n".join(lines[begin:end]).replace("\\\n", " "))


def test_with_keys_the_command_has_one(tmp_path: Path) -> None:
    """What is shown to be tried works as it stands, once the variable is set."""
    lines = said(tmp_path, None, auth={"keys": [KEY]})
    words = command(lines)
    assert "authorization: Bearer $GRAFTWORK_API_KEY" in words
    assert any("export GRAFTWORK_API_KEY=" in line for line in lines)


def test_without_keys_none_is_asked_for(tmp_path: Path) -> None:
    """The first try of a newcomer needs nothing."""
    words = command(said(tmp_path, ["returns"]))
    assert words[:2] == ["curl", f"{URL}/v1/chat/completions"]
    assert not any("authorization" in word for word in words)


def test_fifty_names_are_not_one_line(tmp_path: Path) -> None:
    """The first few and the number of the others, for adapters and for frontier models alike."""
    models = [
        {"id": f"model-{n}", "input_usd_per_mtok": 1, "output_usd_per_mtok": 1} for n in range(50)
    ]
    provider = {
        "name": "cloud",
        "dialect": "openai",
        "base_url": "http://127.0.0.1:1",
        "models": models,
    }
    lines = said(tmp_path, [f"adapter-{number}" for number in range(50)], providers=[provider])
    assert any("adapter-5 and 44 more" in line for line in lines)
    assert any("cloud/model-5 and 44 more" in line for line in lines)
    assert max(map(len, lines)) < 200
