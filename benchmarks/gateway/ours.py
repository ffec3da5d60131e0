"""One Graftwork router on its own, without Ray and HAProxy: the process whose cost is measured."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
import yaml

from benchmarks.gateway.stand_in import MODEL
from serving.config.settings import Settings
from serving.heap import settle_heap
from serving.router.compose import RouterProcess

PROVIDER = "stand-in"
_CONFIG = Path("config/local.yaml")


def settings(provider_url: str, state_dir: Path) -> Settings:
    """`config/local.yaml` with the provider as the configured frontier and a budget on it."""
    raw = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))["applications"][0]["args"]
    router: dict[str, Any] = raw["router"]
    raw["state_dir"] = str(state_dir)
    router["providers"] = [
        {
            "name": PROVIDER,
            "base_url": provider_url,
            "models": [
                {
                    "id": MODEL,
                    "context_window": 128_000,
                    "input_usd_per_mtok": 2.0,
                    "output_usd_per_mtok": 10.0,
                    "capabilities": ["chat", "tools", "json_schema"],
                }
            ],
        }
    ]
    router["auto"]["frontier"] = f"{PROVIDER}/{MODEL}"
    router["budgets"] = {
        "authority": "local",
        "limits": [
            {"name": "tenant-month", "tenant": "*", "window": "month", "usd": 10_000.0},
            {"name": "key-minute", "key": "*", "window": "minute", "tokens": 1_000_000_000},
        ],
    }
    return Settings.model_validate(raw)


async def _serve(port: int, provider_url: str, state_dir: Path) -> None:
    router = RouterProcess(settings(provider_url, state_dir), "benchmark", os.environ)
    router.start()
    settle_heap()  # as the deployment does
    config = uvicorn.Config(
        router.door, port=port, log_config=None, access_log=False, lifespan="off"
    )
    await uvicorn.Server(config).serve()
    await router.aclose()


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--provider", required=True, help="base URL of the provider")
    parser.add_argument("--state-dir", type=Path, required=True)
    given = parser.parse_args()
    uvloop.run(asyncio.wait_for(_serve(given.port, given.provider, given.state_dir), None))


if __name__ == "__main__":
    main()
