"""Graftwork on a Ray cluster of several nodes on this machine, as one program.

``python -m tests.system.cluster CONFIG STATE_DIR PORT``. It obeys one line each on standard input
and answers each with one line: ``where`` (which node each engine is on), ``kill-node`` (SIGKILL to
a worker node and all that runs on it, as when a machine loses power), ``add-node``, ``stop``.

The nodes have addresses and stores of their own, but share the machine: the engines are spread by a
resource that each worker node has once.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import yaml

from serving.bringup.system import make_run_directory, prepare_environment

WORKERS = 2
CONTROL, PLACE = "control", "engine_place"
"""Resources: of the head, for routers and the registry; of each worker, for one engine."""
_OBJECT_STORE_BYTES = 100 * 1024 * 1024
_HEAD = {
    "num_cpus": 8,
    "resources": {CONTROL: 100},
    "include_dashboard": False,
}
_WORKER = {"num_cpus": 4, "resources": {PLACE: 1}}


def spread(raw: dict[str, Any], port: int, state_dir: Path) -> dict[str, Any]:
    """The deploy file for this cluster: one engine on each worker node, the rest on the head."""
    raw["http_options"]["port"] = port
    application = raw["applications"][0]
    application["args"]["state_dir"] = str(state_dir)
    for deployment in application["deployments"]:
        is_engine = deployment["name"] == "engine"
        deployment["num_replicas"] = WORKERS if is_engine else 1
        options = deployment["ray_actor_options"]
        options["resources"] = {PLACE: 1} if is_engine else {CONTROL: 1}
    return raw


def say(text: str) -> None:
    """One line for whoever started this program."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Nodes:
    """The cluster: a head and worker nodes that come and go."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        shared = {"object_store_memory": _OBJECT_STORE_BYTES}
        self._shared = shared
        self._cluster = Cluster(initialize_head=True, head_node_args={**_HEAD, **shared})
        self._workers = [self._new() for _ in range(WORKERS)]

    @property
    def address(self) -> str:
        """Where drivers connect."""
        return str(self._cluster.address)

    def _new(self) -> Any:
        return self._cluster.add_node(wait=True, **_WORKER, **self._shared)

    def add(self) -> None:
        """A new worker node joins."""
        self._workers.append(self._new())
        say(f"added {self._workers[-1].node_id}")

    def kill(self) -> None:
        """The oldest worker node loses power: nothing on it gets to say goodbye."""
        node = self._workers.pop(0)
        roots = [psutil.Process(each.process.pid) for each in _processes(node)]
        victims = [p for root in roots for p in (root, *root.children(recursive=True))]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        psutil.wait_procs(victims, timeout=10)
        say(f"killed {node.node_id}")

    def shutdown(self) -> None:
        """Stop every node."""
        self._cluster.shutdown()


def _processes(node: Any) -> list[Any]:
    return [info for infos in node.all_processes.values() for info in infos]


def deploy(address: str, raw: dict[str, Any]) -> None:
    """Hand the application to the cluster, as ``graftwork serve`` does."""
    import ray
    from ray import serve
    from ray.serve._private.api import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    schema = ServeDeploySchema.model_validate(raw)
    serve.start(
        proxy_location=schema.proxy_location,
        http_options=schema.http_options.model_dump(),
        logging_config={"log_level": "WARNING"},
    )
    _get_global_client().deploy_apps(schema)


def where() -> None:
    """Say which node each running engine replica is on."""
    from ray.serve._private.api import _get_global_client

    details = _get_global_client().get_serve_details()
    replicas = details["applications"]["graftwork"]["deployments"]["engine"]["replicas"]
    nodes = {row["replica_id"]: row["node_id"] for row in replicas if row["state"] == "RUNNING"}
    say("engines " + json.dumps(nodes))


def take_down() -> None:
    """Stop the application, then this driver."""
    import ray
    from ray import serve

    if ray.is_initialized():
        with contextlib.suppress(Exception):
            serve.shutdown()
        ray.shutdown()


def main() -> None:
    """Run until told to stop, or until whoever started this is gone."""
    config, state_dir, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    run_dir = make_run_directory()
    prepare_environment(run_dir)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    nodes = None
    try:
        nodes = Nodes()
        raw = yaml.safe_load(config.read_text(encoding="utf-8"))
        deploy(nodes.address, spread(raw, port, state_dir))
        say("deployed")
        commands = {"kill-node": nodes.kill, "add-node": nodes.add, "where": where}
        for line in sys.stdin:
            if line.strip() == "stop":
                break
            commands[line.strip()]()
    finally:
        take_down()
        if nodes is not None:
            nodes.shutdown()
        shutil.rmtree(run_dir, ignore_errors=True)
        say("stopped")


if __name__ == "__main__":
    main()
