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

from adapters.aliases import RoutingTable
from adapters.records.config import Durability
from benchmarks.gateway.stand_in import MODEL
from router.audit.requests import RequestRecords
from router.exchange import Exchange
from serving.config.settings import Settings
from serving.heap import settle_heap
from serving.router import compose
from serving.router.compose import RouterProcess

PROVIDER = "stand-in"
_CONFIG = Path("config/local.yaml")


class NoRecords(RequestRecords):
    """Keeps none: what records cost is the difference to this."""

    def begin(self, exchange: Exchange) -> None:
        """Nothing."""

    def end(self, exchange: Exchange) -> None:
        """Nothing."""


def settings(
    provider_url: str, state_dir: Path, durability: str = Durability.BEFORE_FIRST_BYTE
) -> Settings:
    """`config/local.yaml` with the provider as the configured frontier and a budget on it."""
    raw = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))["applications"][0]["args"]
    router: dict[str, Any] = raw["router"]
    raw["state_dir"] = str(state_dir)
    raw["audit"] = {"durability": durability}
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


def alone(settings: Settings) -> RouterProcess:
    """A router that has heard from a registry once: there is no engine, and there are no rules."""
    router = RouterProcess(settings, "benchmark", os.environ)
    router.holder.apply(RoutingTable(revision=1, base_id="base"))
    router.start()
    return router


async def _serve(port: int, settings: Settings) -> None:
    router = alone(settings)
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
    modes = ["none", *Durability]
    parser.add_argument("--records", choices=modes, default=Durability.BEFORE_FIRST_BYTE.value)
    given = parser.parse_args()
    durability = given.records
    if durability == "none":
        compose.RequestRecords = NoRecords  # type: ignore[attr-defined]
        durability = Durability.ASYNC
    wanted = settings(given.provider, given.state_dir, durability)
    uvloop.run(asyncio.wait_for(_serve(given.port, wanted), None))


if __name__ == "__main__":
    main()
