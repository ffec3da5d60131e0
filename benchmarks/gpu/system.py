"""The product on this machine, for the measurements: one replica, on loopback, its own state."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.gpu.scale import Scale
from benchmarks.gpu.shape import base_of
from benchmarks.processes import running
from serving.bringup.edge import free_port
from serving.embedded import BASE_DIR

_HOST = "127.0.0.1"
_GPU, _LOCAL = Path("config/gpu.yaml"), Path("config/local.yaml")
_CACHE = "VLLM_CACHE_ROOT"


def deploy_file(scale: Scale, base: Path, memory: float) -> dict[str, Any]:
    """``config/gpu.yaml`` (on the CPU ``config/local.yaml``) for one machine without keys."""
    made: dict[str, Any] = yaml.safe_load((_GPU if scale.on_cuda else _LOCAL).read_text())
    args = made["applications"][0]["args"]
    args["engine"]["max_loras"] = max(scale.adapters, args["engine"]["max_loras"])
    args["engine"]["max_cpu_loras"] = 64
    # A price of any kind, so that what K it is made with is told.
    args["router"]["routing"] = {"local": {"price": {"replica_hour_usd": 1.0}}}
    if not scale.on_cuda:
        args.pop("seed_adapters", None)
        args["router"].pop("auto", None)
        return made
    made["proxy_location"] = "HeadOnly"
    made["http_options"]["host"] = _HOST
    args["adapters"] = {"rollout": {"reconcile_s": 30}}
    args["base"] = {"model": str(base)}
    args["network"] = {"internal_host": _HOST}
    args["engine"]["env"] = {"HF_HUB_OFFLINE": "1"}
    args["engine"]["vllm"] |= {"max_model_len": 4096, "gpu_memory_utilization": memory}
    args["router"].pop("auth")
    for deployment in made["applications"][0]["deployments"]:
        if deployment.pop("autoscaling_config", None) is not None or deployment["num_replicas"] > 1:
            deployment["num_replicas"] = 1
        deployment["graceful_shutdown_timeout_s"] = 10
    return made


class Ground:
    """A folder with the base, the caches and the state of the product.

    Attributes:
        base: the directory of the base that is served.
        model: its name on the endpoint.
    """

    model = "base"

    def __init__(self, folder: Path, scale: Scale, memory: float) -> None:
        self._folder = folder.absolute()
        self._scale = scale
        self._memory = memory
        self._state = 0
        self.base = BASE_DIR

    def prepare(self) -> None:
        """Make the base, once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._scale.shape is not None:
            self.base = base_of(self._folder / f"base-{self._scale.shape}", self._scale.shape)

    @contextmanager
    def served(self, cache: str) -> Iterator[tuple[str, float]]:
        """The running product: its URL, and seconds from the command until it is ready.

        ``cache`` names what compilers keep: the first start with a name finds nothing.
        """
        self._state += 1
        port = free_port()
        config = self._folder / f"config-{self._state}.yaml"
        config.write_text(yaml.safe_dump(deploy_file(self._scale, self.base, self._memory)))
        state = self._folder / f"state-{time.time_ns()}"
        command = [sys.executable, "-m", "serving.cli", "serve", "--config", str(config)]
        command += ["--port", str(port), "--state-dir", str(state)]
        url = f"http://{_HOST}:{port}"
        began = time.perf_counter()
        with running(command, f"{url}/readyz", {_CACHE: str(self._folder / cache)}):
            yield url, time.perf_counter() - began
