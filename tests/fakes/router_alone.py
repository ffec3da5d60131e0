"""One router as a process of its own: what a test can kill, and whose disk it can fill.

``python -m tests.fakes.router_alone --state DIR --provider URL --port PORT`` serves until it is
stopped, or for ``--seconds`` at most. ``--registry`` is a ``Peer`` as JSON: the registry that it
knows, whose tenants then consent to capture. ``--config`` is what stands under ``router``, as JSON;
``--internal`` a file for its own ``Peer``: then it waits for tables (``joined``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from adapters.aliases import Peer, RoutingTable
from adapters.atomic import write_file
from serving.bringup.edge import free_port
from serving.config.settings import Settings
from serving.internal.server import InternalServer
from serving.router.compose import RouterProcess

ROOT = Path(__file__).resolve().parents[2]
MODEL = "cloud/big"
_START_S = 60.0


class RouterAlone:
    """A running process; ``url`` is its door."""

    def __init__(
        self,
        state: Path,
        provider: str,
        name: str = "alone",
        registry: Peer | None = None,
        *,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "tests.fakes.router_alone", "--state", str(state)]
        command += ["--provider", provider, "--port", str(port), "--name", name]
        if registry is not None:
            command += ["--registry", registry.model_dump_json()]
        self._peer = state / f"{name}.peer"
        if config is not None:
            command += ["--config", json.dumps(config), "--internal", str(self._peer)]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environ)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, "the router ended at start"
            assert time.monotonic() < deadline, "the router did not start"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def peer(self) -> Peer:
        """How the registry reaches it, where ``config`` was given."""
        return Peer.model_validate_json(self._peer.read_text())

    def kill(self) -> None:
        """As a crash ends it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """As an operator ends it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)


async def _serve(given: argparse.Namespace) -> None:
    card = {"id": "big", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    router: dict[str, Any] = {
        "providers": [{"name": "cloud", "base_url": given.provider, "models": [card]}],
        "records": {"segment_bytes": 65_536},
    }
    router |= json.loads(given.config)
    registry = None
    if given.registry:
        registry = Peer.model_validate_json(given.registry)
        router["capture"] = {"tenants": {"default": {"consent": True, "share": 1.0}}}
    settings = Settings.model_validate({"state_dir": str(given.state), "router": router})
    process = RouterProcess(settings, given.name, {})
    internal = InternalServer("127.0.0.1")
    if given.internal:
        await internal.start(process.surface)
        write_file(Path(given.internal), internal.peer(given.name).model_dump_json())
    else:
        process.holder.apply(RoutingTable(revision=1, base_id="tiny", registry=registry))
    process.start()
    app: Any = process.door
    config = uvicorn.Config(
        app, port=given.port, lifespan="off", ws="none", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    asyncio.get_running_loop().call_later(given.seconds, setattr, server, "should_exit", True)
    await server.serve()
    await internal.stop()
    await process.aclose()


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--provider", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--name", default="alone")
    parser.add_argument("--registry", default="")
    parser.add_argument("--config", default="{}")
    parser.add_argument("--internal", default="")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
