"""The manifests' own processes on this machine: `ray start` and `serveConfigV2` as KubeRay would.

The overlay `cpu-smoke` is rendered; its variables, its start parameters and its Secrets' files are
given to a head, a control node and an engine node under a root that cannot be written, and the
deploy file is put over Ray's token-protected API. What differs from a cluster: one machine, so that
ports are free ones, one HAProxy (``HeadOnly``), and paths lie below one writable directory.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from psutil import Process  # type: ignore[import-untyped]

from router.admit.keys import hash_key, new_key
from serving.bringup import image, probe
from serving.bringup.edge import free_port
from serving.embedded import ADAPTERS_DIR
from tests.k8s.rendering import deploy_file, groups, render, runtime
from tests.system import processes
from tests.system.client import chat, eventually, push, target
from tests.system.confined import confined
from tests.system.running import ROOT, START_S

pytestmark = pytest.mark.system

SECRET_FILES = {"application.yaml": ["inference"], "admin.yaml": ["admin", "auditor"]}


class Pods:
    """The Pods of an overlay as processes."""

    def __init__(self, writable: Path, wrapper: Sequence[str]) -> None:
        self.writable = writable
        self._objects = render("cpu-smoke")
        self._marker = uuid.uuid4().hex
        self._wrapper = wrapper
        self._started: list[subprocess.Popen[bytes]] = []
        self.token = secrets.token_hex(32)
        self.keys = {name: new_key() for name in SECRET_FILES}
        self.serve, self.dashboard, self.gcs = free_port(), free_port(), free_port()
        self.agents: dict[str, int] = {}
        image.prepare(writable / "image")
        for name, scopes in SECRET_FILES.items():
            row = {"name": name, "sha256": hash_key(self.keys[name]), "scopes": scopes}
            (writable / "keys").mkdir(exist_ok=True)
            (writable / "keys" / name).write_text(yaml.safe_dump([row]))

    def mapped(self, text: str) -> str:
        """A path in a Pod as it is here."""
        below = str(self.writable)
        places = {
            f"/opt/graftwork/{image.HAPROXY}": f"{below}/image/{image.HAPROXY}",
            f"/opt/graftwork/{image.ERRORS}": f"{below}/image/{image.ERRORS}",
            "/opt/graftwork": str(ROOT),
            "/tmp/haproxy": f"{below}/h",
            "/var/cache/graftwork": f"{below}/cache",
            "/etc/graftwork/keys": f"{below}/keys",
            "/var/lib/graftwork": f"{below}/lib",
        }
        for place, here in places.items():
            text = text.replace(place, here)
        return text

    def start(self) -> None:
        """The head, then a node of each group."""
        flags = [f"--port={self.gcs}", f"--dashboard-port={self.dashboard}"]
        self._node("head", ["--head", *flags, f"--temp-dir={self.writable}"])
        self.answers("gcs", f"http://127.0.0.1:{self.dashboard}/api/gcs_healthz")
        for name in ("control", "engine"):
            self._join(name)

    def _join(self, name: str) -> None:
        """Start a worker node and wait for it; again when it ended, as KubeRay does with a Pod.

        Ray gives a node 30 seconds to register, which a busy machine may exceed.
        """
        for _ in range(3):
            self._node(name, [f"--address=127.0.0.1:{self.gcs}"])
            url = f"http://127.0.0.1:{self.agents[name]}/api/local_raylet_healthz"
            process = self._started[-1]
            eventually(
                lambda url=url, process=process: (  # type: ignore[misc]
                    process.poll() is not None or probe.main(["raylet"], {"raylet": url}) == 0
                ),
                f"{name} is up",
                START_S,
            )
            if process.poll() is None:
                return
            self._started.pop()
        pytest.fail(self.said())

    def _node(self, name: str, flags: list[str]) -> None:
        parameters = groups(self._objects)[name].get("rayStartParams", {})
        # KubeRay pastes them into a shell's command line, which takes one level of quotes away.
        given = {k: json.loads(v) if v.startswith('"') else v for k, v in parameters.items()}
        given |= {"node-ip-address": "127.0.0.1", "object-store-memory": str(100 << 20)}
        if name == "head":
            given["dashboard-host"] = "127.0.0.1"
        self.agents[name] = free_port()
        given["dashboard-agent-listen-port"] = str(self.agents[name])
        given["metrics-export-port"] = str(free_port())
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *flags]
        command += [f"--{key}={value}" for key, value in given.items()]
        with (self.writable / f"{name}.txt").open("wb") as sink:
            self._started.append(
                subprocess.Popen(
                    [*self._wrapper, *command],
                    cwd=self.writable,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _environment(self) -> dict[str, str]:
        ports = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT")
        return {
            **{name: self.mapped(value) for name, value in runtime(self._objects).items()},
            **{name: str(free_port()) for name in ports},
            "RAY_AUTH_TOKEN": self.token,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.writable),
            "OMP_NUM_THREADS": "1",
            "STARTED_BY_TEST": self._marker,
        }

    def deploy(self) -> None:
        """What the operator does with ``serveConfigV2``."""
        raw = json.loads(self.mapped(json.dumps(deploy_file(self._objects))))
        raw["http_options"] |= {"host": "127.0.0.1", "port": self.serve}
        raw["proxy_location"] = "HeadOnly"
        with self.api() as api:
            answer = api.put("/api/serve/applications/", json=raw)
        assert answer.status_code == 200, answer.text

    def api(self, *, token: bool = True) -> httpx.Client:
        """Ray's API on the head."""
        headers = {"x-ray-authorization": f"Bearer {self.token}"} if token else {}
        url = f"http://127.0.0.1:{self.dashboard}"
        return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)

    def endpoint(self, key: str | None) -> httpx.Client:
        """The front door, with the key of one of the Secrets."""
        headers = {"authorization": f"Bearer {self.keys[key]}"} if key else {}
        url = f"http://127.0.0.1:{self.serve}"
        return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)

    def answers(self, name: str, url: str) -> None:
        """Wait for a probe, told at once when a process ended."""

        def well() -> bool:
            self.check_alive()
            return probe.main([name], {name: url}) == 0

        eventually(well, f"{name} at {url}", START_S)

    def check_alive(self) -> None:
        """Fails when a node ended."""
        assert all(each.poll() is None for each in self._started), self.said()

    def said(self) -> str:
        """What the nodes had to say."""
        return "\n".join(path.read_text()[-3000:] for path in self.writable.glob("*.txt"))

    def family(self) -> list[Process]:
        """Every process of every node."""
        found = {
            p.pid: p for each in self._started for p in processes.family(each.pid, self._marker)
        }
        return list(found.values())

    def kill(self) -> None:
        """Leave nothing behind."""
        processes.kill(self.family())
        for each in self._started:
            each.wait(10)
        assert not processes.alive(self.family(), 10.0)


@pytest.fixture
def pods() -> Iterator[Pods]:
    """The overlay's Pods, deployed and ready."""
    with confined() as place:
        found = Pods(place.writable, place.wrapper)
        try:
            found.start()
            found.deploy()
            with found.endpoint(None) as client:

                def ready() -> bool:
                    found.check_alive()
                    try:
                        return client.get("/readyz").status_code == 200
                    except httpx.TransportError:
                        return False

                eventually(ready, "the endpoint is ready", START_S)
            yield found
        finally:
            found.kill()


def _replicas(client: httpx.Client) -> list[dict[str, Any]]:
    answer = client.get("/admin/v1/replicas")
    return list(answer.json()["data"]) if answer.status_code == 200 else []


@pytest.mark.timeout(300)
def test_the_overlay_runs(pods: Pods) -> None:
    """Probes, keys and scopes hold; Ray's API is closed; adapters answer and are pushed."""
    for name in ("control", "engine"):
        pods.answers("raylet", f"http://127.0.0.1:{pods.agents[name]}/api/local_raylet_healthz")
    pods.answers("serve", f"http://127.0.0.1:{pods.serve}/-/healthz")
    with pods.api(token=False) as api:
        assert api.get("/api/serve/applications/").status_code in (401, 403)
    with pods.endpoint(None) as nobody:
        assert nobody.get("/v1/models").status_code == 401
    with pods.endpoint("application.yaml") as caller:
        assert target(chat(caller, "returns")).startswith("adapter:returns@")
        assert caller.get("/admin/v1/replicas").status_code == 403
        with pods.endpoint("admin.yaml") as operator:
            push(operator, "pushed", ADAPTERS_DIR / "extract")
            assert len(_replicas(operator)) == 1
            scraped = operator.get("/metrics").text
        assert target(chat(caller, "pushed")).startswith("adapter:pushed@")
    assert "graftwork_requests_total" in scraped
    assert "vllm:num_requests_running" in scraped
    assert (pods.writable / "lib-registry" / "registry.db").is_file()
    placed = _nodes(pods)
    assert len(set(placed.values())) == 2, placed
    assert placed["router"] == placed["registry"] != placed["engine"]
    # `kubectl logs` shows it: our lines are the Pod's output, not files of Ray's.
    assert '"event":"router_started"' in (pods.writable / "control.txt").read_text()


def _nodes(pods: Pods) -> dict[str, str]:
    """Which node each deployment's replica is on."""
    with pods.api() as api:
        details = api.get("/api/serve/applications/").json()
    rows = details["applications"]["graftwork"]["deployments"]
    return {name: row["replicas"][0]["node_id"] for name, row in rows.items()}
