"""LiteLLM's proxy in an environment of its own; nothing of it is ever imported here."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path

from benchmarks.gateway.stand_in import MODEL

PACKAGE = "litellm[proxy]==1.106.0"


class NotInstallable(Exception):
    """The peer cannot be installed here; the message says why."""


def install(home: Path) -> Path:
    """The command `litellm`, from an environment that is made when it is missing.

    Raises:
        NotInstallable: pip cannot get it, for example without a network.
    """
    command = home / "bin" / "litellm"
    if command.exists():
        return command
    venv.create(home, with_pip=True)
    done = subprocess.run(
        [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", PACKAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not command.exists():
        raise NotInstallable((done.stderr.strip().splitlines() or ["pip failed"])[-1])
    return command


def command(binary: Path, port: int, provider_url: str, scratch: Path) -> list[str]:
    """How to start it: one worker, one model, no database, no keys: as ours here."""
    model = {
        "model_name": MODEL,
        "litellm_params": {"model": f"openai/{MODEL}", "api_base": provider_url, "api_key": "none"},
    }
    config = {
        "model_list": [model],
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }
    file = scratch / "litellm.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    return [str(binary), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
