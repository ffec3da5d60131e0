"""Every command in README.md, run as it stands against the real system."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from router.config.auto import AutoConfig
from router.config.root import RouterConfig
from tests.system.running import ROOT, Running

README = (ROOT / "README.md").read_text()
DEFAULT_URL = "http://127.0.0.1:8000"
# Starting the system is what the fixture does; running the tests is what this is; the demo starts
# a system of its own.
NOT_RUN_HERE = ("make serve", "make test", "make demo")

pytestmark = pytest.mark.system


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """The shell commands, continuation lines joined, comments dropped."""
    found = []
    for block in blocks("bash"):
        lines = block.replace("\\\n", " ").splitlines()
        found += [line.split("   #")[0].strip() for line in lines if line.strip()]
    return [line for line in found if not line.startswith(NOT_RUN_HERE)]


def run(system: Running, arguments: list[str]) -> str:
    """Run one program against the system; its output."""
    done = subprocess.run(
        arguments,
        cwd=ROOT,
        env={**os.environ, "GRAFTWORK_URL": system.url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_command_works_in_order(system: Running) -> None:
    """The first screen and the adapter section, from top to bottom."""
    for line in commands():
        program, *arguments = shlex.split(line.replace(DEFAULT_URL, system.url))
        if program == "curl":
            if shutil.which("curl") is None:
                pytest.skip("curl is not installed")
            answer = json.loads(run(system, ["curl", "-sS", *arguments]))
            assert answer["choices"][0]["message"]["content"], line
        else:
            assert program == ".venv/bin/graftwork", line
            run(system, [sys.executable, "-m", "serving.cli", *arguments])


def test_the_first_curl_is_answered_by_the_returns_adapter(http: httpx.Client) -> None:
    """What README says that one sees is what one sees."""
    first = next(line for line in commands() if line.startswith("curl"))
    payload = json.loads(shlex.split(first)[-1])
    answer = http.post("/v1/chat/completions", json=payload)
    assert answer.headers["x-graftwork-target"].startswith("adapter:returns@")


def test_the_sdk_example_runs(system: Running) -> None:
    """The Python block prints an answer."""
    (example,) = blocks("python")
    assert run(system, [sys.executable, "-c", example.replace(DEFAULT_URL, system.url)]).strip()


def test_the_examples_of_configuration_are_valid() -> None:
    """The blocks under `router` are accepted as they stand, one after the other."""
    whole: dict[str, object] = {}
    for block in blocks("yaml"):
        whole |= yaml.safe_load(block)
    config = RouterConfig.model_validate(whole)
    assert config.context.default == ("manuals",)
    assert set(config.models) == {"smart", "gpt-4o*"}
    assert isinstance(config.auto, AutoConfig)
    assert [provider.name for provider in config.providers] == ["openai", "anthropic"]


def test_starting_is_one_of_the_documented_commands() -> None:
    """`make serve` does what the fixture does: it runs `graftwork serve` on the local file."""
    makefile = (ROOT / "Makefile").read_text()
    assert "graftwork serve --config $(CONFIG)" in makefile
    assert "$(if $(filter embedded,$(BASE)),config/local.yaml,config/$(BASE).yaml)" in makefile
    for name in ("local", "smollm2"):
        assert Path(ROOT / "config" / f"{name}.yaml").is_file()
