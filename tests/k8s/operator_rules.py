"""What KubeRay 1.7 refuses although its CRD allows it (its ``validation.go``, ported)."""

from __future__ import annotations

import re

from tests.k8s.rendering import Object, Objects, every, find, groups

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?")
_REDIS_ENV = frozenset({"REDIS_PASSWORD", "RAY_REDIS_ADDRESS", "RAY_external_storage_namespace"})
_UPGRADES = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
_TOKEN_AUTH_SINCE = (2, 52)


def problems(objects: Objects) -> list[str]:
    """Why the operator would not take the RayService, one line each."""
    if not every(objects, "RayService"):
        return []
    service = find(objects, "RayService")
    spec = service["spec"]
    cluster = spec["rayClusterConfig"]
    name = service["metadata"]["name"]
    found = [] if _NAME.fullmatch(name) else [f"name {name!r}: DNS-1035, at most 47 characters"]
    found += _upgrade(spec.get("upgradeStrategy") or {}, cluster)
    found += _features(cluster)
    found += _storage(cluster, service)
    names = [group["groupName"] for group in cluster.get("workerGroupSpecs", [])]
    found += [f"group {n!r} twice" for n in set(names) if names.count(n) > 1]
    for label, group in groups(objects).items():
        found += [f"{label}: {line}" for line in _group(group, cluster, worker=label != "head")]
    return found


def _upgrade(strategy: Object, cluster: Object) -> list[str]:
    kind = strategy.get("type", "NewCluster")
    if kind not in _UPGRADES:
        return [f"upgradeStrategy.type {kind!r}: one of {_UPGRADES}"]
    if kind != "NewClusterWithIncrementalUpgrade":
        return []
    options = strategy.get("clusterUpgradeOptions") or {}
    found = [] if options.get("gatewayClassName") else ["incremental upgrade: no gatewayClassName"]
    if not 0 < options.get("stepSizePercent", 0) <= options.get("maxSurgePercent", 100):
        found.append("incremental upgrade: stepSizePercent must be in 1..maxSurgePercent")
    if options.get("intervalSeconds", 0) <= 0:
        found.append("incremental upgrade: intervalSeconds must be positive")
    if not cluster.get("enableInTreeAutoscaling"):
        found.append("incremental upgrade: enableInTreeAutoscaling must be on")
    return found


def _features(cluster: Object) -> list[str]:
    found = []
    auth = cluster.get("authOptions") or {}
    version = tuple(int(part) for part in str(cluster["rayVersion"]).split(".")[:2])
    if auth.get("mode") == "token" and version < _TOKEN_AUTH_SINCE:
        found.append(f"authOptions: Ray {cluster['rayVersion']} has no token authentication")
    if auth.get("enableK8sTokenAuth"):
        found.append("authOptions.enableK8sTokenAuth is refused for a RayService")
    if "networkPolicy" in cluster:
        found.append("networkPolicy is refused unless its alpha gate is on")
    if (cluster["headGroupSpec"].get("headService") or {}).get("metadata", {}).get("name"):
        found.append("headService.metadata.name must be unset")
    return found


def _storage(cluster: Object, service: Object) -> list[str]:
    if "gcsFaultToleranceOptions" not in cluster:
        return []
    found = []
    annotations = service["metadata"].get("annotations", {})
    if any(name.startswith("ray.io/ft-") for name in annotations):
        found.append("ray.io/ft annotations beside gcsFaultToleranceOptions")
    head = cluster["headGroupSpec"]
    if "redis-password" in (head.get("rayStartParams") or {}):
        found.append("rayStartParams.redis-password beside gcsFaultToleranceOptions")
    for container in head["template"]["spec"]["containers"]:
        names = {variable["name"] for variable in container.get("env", [])}
        found += [f"env {n} beside gcsFaultToleranceOptions" for n in sorted(names & _REDIS_ENV)]
    return found


def _group(group: Object, cluster: Object, *, worker: bool) -> list[str]:
    found = []
    parameters = group.get("rayStartParams") or {}
    own = {"num-cpus", "num-gpus", "memory", "resources"} & parameters.keys()
    if own and group.get("resources"):
        found.append(f"rayStartParams {sorted(own)} beside resources")
    if "labels" in parameters:
        found.append("rayStartParams.labels: use the group's labels")
    spec = group["template"]["spec"]
    if not spec.get("containers"):
        found.append("no container")
    scales = bool(cluster.get("enableInTreeAutoscaling"))
    if scales and spec.get("restartPolicy", "Never") != "Never":
        found.append("autoscaler v2: restartPolicy must be Never or unset")
    if worker:
        found += _replicas(group, scales=scales)
    return found


def _replicas(group: Object, *, scales: bool) -> list[str]:
    low, high = group.get("minReplicas"), group.get("maxReplicas")
    if low is None or high is None:
        return [] if scales else ["minReplicas and maxReplicas are needed without autoscaler"]
    if low > high:
        return [f"minReplicas {low} above maxReplicas {high}"]
    wanted = group.get("replicas", low)
    return [] if low <= wanted <= high else [f"replicas {wanted} outside {low}..{high}"]
