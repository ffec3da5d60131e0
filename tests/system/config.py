"""The deploy file of the system tests: `config/local.yaml` with two frontier providers added."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from router.admit.keys import hash_key
from router.config.auth import KeyScope
from tests.fakes.frontier import FakeFrontier
from tests.system.running import ROOT

OPENAI_FRONTIER = "stand-in/large"
ANTHROPIC_FRONTIER = "claude-stand-in/sage"
FRONTIER_KEY = "sk-frontier-5d1f0c7a"
KEY_VARIABLE = "FRONTIER_KEY"
DOUBTED = "abracadabra"
"""An intent whose answers are judged by their tokens' probabilities."""
BUDGET = {"name": "everything", "window": "total", "requests": 1_000_000, "usd": 1000.0}
"""So large that no test runs into it: every request is leased for and settled all the same."""
INPUT_USD, OUTPUT_USD = 2.0, 10.0
"""Price of a million tokens."""


def write_config(
    path: Path, frontier: FakeFrontier, keys: Sequence[tuple[str, str, KeyScope]] = ()
) -> Path:
    """Write the file. ``keys``: (name, key, scope) of callers; without any, everybody may call."""
    raw = yaml.safe_load((ROOT / "config/local.yaml").read_text(encoding="utf-8"))
    router = raw["applications"][0]["args"]["router"]
    router["providers"] = [
        _provider(
            OPENAI_FRONTIER,
            "openai",
            frontier.openai_url,
            ["chat", "completions", "responses", "embeddings", "tools", "json_schema"],
        ),
        _provider(ANTHROPIC_FRONTIER, "anthropic", frontier.url, ["messages", "chat", "tools"]),
    ]
    router["auto"]["intents"].append({"name": DOUBTED, "keywords": [DOUBTED]})
    # Nobody is ever that sure: every answer of this route is judged, and marked for review.
    router["routing"] = {"routes": {DOUBTED: {"confidence": {"threshold": 1.0}}}}
    router["auth"] = {
        "keys": [
            {"name": name, "sha256": hash_key(key), "scopes": [scope.value]}
            for name, key, scope in keys
        ]
    }
    router["budgets"] = {"limits": [{**BUDGET, "tenant": "*"}]}
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def _provider(name: str, dialect: str, url: str, capabilities: list[str]) -> dict[str, Any]:
    provider, _, model = name.partition("/")
    card = {
        "id": model,
        "input_usd_per_mtok": INPUT_USD,
        "output_usd_per_mtok": OUTPUT_USD,
        "capabilities": capabilities,
    }
    return {
        "name": provider,
        "dialect": dialect,
        "base_url": url,
        "api_key_env": KEY_VARIABLE,
        "models": [card],
    }
