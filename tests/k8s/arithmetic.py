"""The arithmetic of a rendered overlay: drains, GPUs and processors, budgets, routes' timeouts."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable

from tests.k8s.rendering import (
    GPU,
    Object,
    Objects,
    cores_of,
    deploy_file,
    deployment,
    every,
    find,
    groups,
    pod_labels,
    ray_container,
    runtime,
    selects,
)


def problems(objects: Objects) -> list[str]:
    """One line for each sum that does not come out."""
    checks: tuple[Callable[[Objects], list[str]], ...] = (_drains, _capacity, _disruption, _routes)
    return [line for check in checks for line in check(objects)]


def drain_chain(objects: Objects) -> list[tuple[str, float]]:
    """What has to wait for what, shortest first, seconds."""
    raw = deploy_file(objects)
    values = runtime(objects)
    spec = find(objects, "RayService")["spec"]
    limits = raw["applications"][0]["args"]["router"].get("limits", {})
    longest = max(raw["http_options"]["request_timeout_s"], limits.get("request_timeout_s", 600))
    drains = [
        deployment(objects, name)["graceful_shutdown_timeout_s"] for name in ("router", "engine")
    ]
    graces = [
        g["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        for g in groups(objects).values()
    ]
    return [
        ("longest request", longest),
        ("replica's drain", min(drains)),
        ("old HAProxy's end", float(values.get("RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S", 120))),
        ("Ray node's drain", float(values.get("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", 30))),
        ("Pod's grace", min(graces)),
        ("old cluster's deletion", spec.get("rayClusterDeletionDelaySeconds", 60)),
    ]


def _drains(objects: Objects) -> list[str]:
    chain = drain_chain(objects)
    return [
        f"{a} ({x:g} s) is not shorter than {b} ({y:g} s)"
        for (a, x), (b, y) in itertools.pairwise(chain)
        if x >= y
    ]


def _offer(group: Object, resource: str) -> float:
    """What one Pod of a group offers to Ray."""
    parameters = group.get("rayStartParams") or {}
    limits = ray_container(group)["resources"]["limits"]
    if resource == GPU:
        return float(limits.get(GPU, 0))
    if resource == "cpu":
        return float(parameters.get("num-cpus", math.ceil(cores_of(limits["cpu"]))))
    return float(json.loads(json.loads(parameters.get("resources", '"{}"'))).get(resource, 0))


def _needs(options: Object) -> dict[str, float]:
    needs = {"cpu": options.get("num_cpus", 1), GPU: options.get("num_gpus", 0)}
    return {k: float(v) for k, v in {**needs, **options.get("resources", {})}.items() if v}


def _bounds(row: Object) -> tuple[int, int]:
    scaling = row.get("autoscaling_config")
    if scaling:
        return int(scaling["min_replicas"]), int(scaling["max_replicas"])
    return int(row["num_replicas"]), int(row["num_replicas"])


def _capacity(objects: Objects) -> list[str]:
    """Every replica finds a place, at the least and at the most; GPUs are asked for whole."""
    found = []
    for name, group in groups(objects).items():
        resources = ray_container(group)["resources"]
        asked, allowed = resources["requests"].get(GPU), resources["limits"].get(GPU)
        if asked != allowed:
            found.append(f"{name}: {asked} GPUs requested, {allowed} the limit")
        tolerated = any(
            t.get("key") == GPU for t in group["template"]["spec"].get("tolerations", [])
        )
        if bool(allowed) != tolerated:
            found.append(f"{name}: GPUs {allowed}, tolerated: {tolerated}")
    for name, rows in {"control": ("router", "registry"), "engine": ("engine",)}.items():
        found += _fit(name, groups(objects)[name], [deployment(objects, row) for row in rows])
    return found


def _fit(name: str, group: Object, rows: Objects) -> list[str]:
    found = []
    for which, pods in ((0, group["minReplicas"]), (1, group["maxReplicas"])):
        total: dict[str, float] = {}
        for row in rows:
            for resource, amount in _needs(row["ray_actor_options"]).items():
                total[resource] = total.get(resource, 0) + amount * _bounds(row)[which]
        found += [
            f"{name}: {pods} Pods offer {_offer(group, r) * pods:g} {r}, replicas need {n:g}"
            for r, n in total.items()
            if n > _offer(group, r) * pods
        ]
    return found


def _disruption(objects: Objects) -> list[str]:
    found = []
    least = {name: group.get("minReplicas", 1) for name, group in groups(objects).items()}
    by_labels = list(zip(pod_labels(objects), least.values(), strict=True))
    for budget in every(objects, "PodDisruptionBudget"):
        wanted = budget["spec"].get("minAvailable")
        name = f"PodDisruptionBudget {budget['metadata']['name']}"
        if not isinstance(wanted, int):
            found.append(f"{name}: minAvailable must be a whole number")
            continue
        pods = sum(n for own, n in by_labels if selects(budget["spec"]["selector"], own))
        if wanted >= pods:
            found.append(f"{name}: {wanted} of {pods} Pods: no node could ever be drained")
    return found


def _routes(objects: Objects) -> list[str]:
    service = find(objects, "RayService")["metadata"]["name"] + "-serve-svc"
    gateways = {
        g["metadata"]["name"]: {x["name"] for x in g["spec"]["listeners"]}
        for g in every(objects, "Gateway")
    }
    longest = drain_chain(objects)[0][1]
    found = []
    for route in every(objects, "HTTPRoute"):
        name = f"HTTPRoute {route['metadata']['name']}"
        found += [
            f"{name}: no listener {parent['name']}/{parent.get('sectionName')}"
            for parent in route["spec"]["parentRefs"]
            if parent.get("sectionName") not in gateways.get(parent["name"], set())
        ]
        for rule in route["spec"]["rules"]:
            found += [
                f"{name}: backend {ref['name']} is not {service}"
                for ref in rule.get("backendRefs", [])
                if ref["name"] != service
            ]
            seconds = float(rule.get("timeouts", {}).get("request", "0s").removesuffix("s"))
            if seconds <= longest:
                found.append(f"{name}: its timeout of {seconds:g} s cuts long streams")
    return found
