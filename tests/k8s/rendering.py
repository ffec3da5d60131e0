"""Overlays as the API server would get them: rendered by the real kustomize inside ``kubectl``."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("cpu-smoke", "gpu-prod", "gpu-single")
GPU = "nvidia.com/gpu"
Object = dict[str, Any]
Objects = list[Object]


def render(overlay: str) -> Objects:
    """The overlay's objects, the caller's own to change; skips the test without ``kubectl``."""
    return copy.deepcopy(_rendered(overlay))


@cache
def _rendered(overlay: str) -> Objects:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders the overlays, is not on the PATH")
    done = subprocess.run(
        [kubectl, "kustomize", str(K8S / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def find(objects: Objects, kind: str, name: str | None = None) -> Object:
    """The one object of a kind, or of a kind and name."""
    found = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
    return found[0]


def every(objects: Objects, kind: str) -> Objects:
    """All objects of a kind."""
    return [o for o in objects if o["kind"] == kind]


def groups(objects: Objects) -> dict[str, Object]:
    """The RayService's Pod groups by name: ``head`` and the workers."""
    cluster = find(objects, "RayService")["spec"]["rayClusterConfig"]
    workers = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"], **workers}


def ray_container(group: Object) -> Object:
    """The container that Ray runs in: KubeRay takes the first."""
    return dict(group["template"]["spec"]["containers"][0])


def deploy_file(objects: Objects) -> Object:
    """``serveConfigV2``, parsed."""
    return dict(yaml.safe_load(find(objects, "RayService")["spec"]["serveConfigV2"]))


def deployment(objects: Objects, name: str) -> Object:
    """One deployment of ``serveConfigV2``."""
    rows = deploy_file(objects)["applications"][0]["deployments"]
    return dict(next(row for row in rows if row["name"] == name))


# What KubeRay adds to each Pod's labels; never the generation's name.
_ADDED = {"ray.io/is-ray-node": "yes"}


def runtime(objects: Objects) -> dict[str, str]:
    """The variables of every Ray container."""
    configs = {o["metadata"]["name"]: o["data"] for o in every(objects, "ConfigMap")}
    name = ray_container(groups(objects)["head"])["envFrom"][0]["configMapRef"]["name"]
    return dict(configs.get(name, {}))


def pod_labels(objects: Objects) -> list[dict[str, str]]:
    """Labels of each group's Pods, KubeRay's own among them."""
    return [
        {
            **_ADDED,
            "ray.io/node-type": "head" if name == "head" else "worker",
            "ray.io/group": "headgroup" if name == "head" else name,
            **group["template"].get("metadata", {}).get("labels", {}),
        }
        for name, group in groups(objects).items()
    ]


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a selector's ``matchLabels`` match."""
    return all(labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items())


def bytes_of(quantity: str) -> int:
    """A Kubernetes quantity of bytes."""
    for suffix, factor in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if quantity.endswith(suffix):
            return int(quantity.removesuffix(suffix)) * factor
    return int(quantity)


def cores_of(quantity: str) -> float:
    """A Kubernetes quantity of processors."""
    text = str(quantity)
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)
