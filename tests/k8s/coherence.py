"""Whether the parts fit: versions, ports, selectors, volumes, network."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.k8s.rendering import (
    Object,
    Objects,
    bytes_of,
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

RAY_VERSION = "2.60.0"


def problems(objects: Objects) -> list[str]:
    """One line for each thing that does not fit."""
    if not every(objects, "RayService"):
        return ["there is no RayService"]
    checks: tuple[Callable[[Objects], list[str]], ...] = (
        _versions,
        _environment,
        _ports,
        _selectors,
        _volumes,
        _places,
        _accounts,
        _secrets,
        _network,
    )
    return [line for check in checks for line in check(objects)]


def _versions(objects: Objects) -> list[str]:
    cluster = find(objects, "RayService")["spec"]["rayClusterConfig"]
    found = [] if cluster["rayVersion"] == RAY_VERSION else [f"rayVersion {cluster['rayVersion']}"]
    images = {ray_container(group)["image"] for group in groups(objects).values()}
    if len(images) != 1:
        found.append(f"head and workers run different images: {sorted(images)}")
    needs_gpu = bool(deployment(objects, "engine")["ray_actor_options"].get("num_gpus"))
    flavour = "gpu" if needs_gpu else "cpu"
    return found + [f"image {i}: not the {flavour} one" for i in images if flavour not in i]


def _environment(objects: Objects) -> list[str]:
    """Head and workers read the same, and no group overrides it."""
    sources, found = set(), []
    for name, group in groups(objects).items():
        container = ray_container(group)
        sources.add(json.dumps(container.get("envFrom"), sort_keys=True))
        own = [v["name"] for v in container.get("env", [])]
        found += [
            f"{name}: env {v} differs from the other nodes"
            for v in own
            if v.startswith(("RAY_", "VLLM_", "GRAFTWORK_"))
        ]
    if len(sources) != 1:
        found.append("head and workers do not take the same environment")
    values = runtime(objects)
    if not values:
        found.append("the ConfigMap that the Ray containers name does not exist")
    for name in ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED"):
        if values.get(name) != "1":
            found.append(f"{name} is not 1")
    return found


def _ports(objects: Objects) -> list[str]:
    options = deploy_file(objects)["http_options"]
    found = [] if options.get("host") == "0.0.0.0" else ["http_options.host must be 0.0.0.0"]
    wanted = {"serve": options.get("port"), "metrics": 8080}
    for name, group in groups(objects).items():
        ports = {p["name"]: p["containerPort"] for p in ray_container(group).get("ports", [])}
        more = {"gcs-server": 6379, "dashboard": 8265} if name == "head" else {}
        found += [
            f"{name}: port {n} is {ports.get(n)}, not {p}"
            for n, p in {**wanted, **more}.items()
            if ports.get(n) != p
        ]
    return found


def _selectors(objects: Objects) -> list[str]:
    found = []
    labels = pod_labels(objects)
    for kind, field in (
        ("NetworkPolicy", "podSelector"),
        ("PodDisruptionBudget", "selector"),
        ("PodMonitor", "selector"),
    ):
        for each in every(objects, kind):
            selector = each["spec"][field]
            if not any(selects(selector, own) for own in labels):
                found.append(f"{kind} {each['metadata']['name']} selects nothing")
            if "ray.io/cluster" in (selector.get("matchLabels") or {}):
                found.append(f"{kind} {each['metadata']['name']} selects one generation only")
    for own, (name, group) in zip(labels, groups(objects).items(), strict=True):
        found += [
            f"{name}: its topology spread does not select itself"
            for rule in group["template"]["spec"].get("topologySpreadConstraints", [])
            if not selects(rule["labelSelector"], own)
        ]
    return found


def _volumes(objects: Objects) -> list[str]:
    claims = {claim["metadata"]["name"] for claim in every(objects, "PersistentVolumeClaim")}
    found = []
    for name, group in groups(objects).items():
        spec = group["template"]["spec"]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        mounts = ray_container(group).get("volumeMounts", [])
        found += [
            f"{name}: mounts {m['name']}, which is no volume"
            for m in mounts
            if m["name"] not in volumes
        ]
        used = [
            v["persistentVolumeClaim"]["claimName"]
            for v in volumes.values()
            if "persistentVolumeClaim" in v
        ]
        found += [f"{name}: claim {c} does not exist" for c in used if c not in claims]
        found += [f"{name}: {line}" for line in _shared_memory(group, volumes, mounts)]
    return found


def _shared_memory(group: Object, volumes: Object, mounts: Objects) -> list[str]:
    place = next((m["name"] for m in mounts if m["mountPath"] == "/dev/shm"), None)
    if place is None or (volumes[place].get("emptyDir") or {}).get("medium") != "Memory":
        return ["no memory volume at /dev/shm"]
    limit = bytes_of(ray_container(group)["resources"]["limits"]["memory"])
    shm = bytes_of(volumes[place]["emptyDir"]["sizeLimit"])
    return [] if shm * 2 <= limit else ["/dev/shm may take more than half of the memory limit"]


def _writable(group: Object) -> list[str]:
    return [
        m["mountPath"]
        for m in ray_container(group).get("volumeMounts", [])
        if not m.get("readOnly")
    ]


def _under(path: str, mounts: list[str]) -> bool:
    return any(path == mount or path.startswith(mount.rstrip("/") + "/") for mount in mounts)


def _places(objects: Objects) -> list[str]:
    """The root is read-only: what is written lies on a volume, what is shared is mounted."""
    args = deploy_file(objects)["applications"][0]["args"]
    found = []
    caches = {
        k: v
        for k, v in runtime(objects).items()
        if k in ("HOME", "HF_HOME")
        or k.endswith(
            (
                "_CACHE_HOME",
                "_CACHE_ROOT",
                "_CACHE_DIR",
                "_CONFIG_ROOT",
                "_WORKSPACE_BASE",
                "_FILE_LOC",
                "_SOCKET_PATH",
                "_STATE_FILE",
            )
        )
    }
    for name, group in groups(objects).items():
        writable = _writable(group)
        found += [
            f"{name}: {k}={v} cannot be written"
            for k, v in caches.items()
            if not _under(v, writable)
        ]
        if not _under(args["state_dir"], writable):
            found.append(f"{name}: state_dir {args['state_dir']} cannot be written")
    everywhere = groups(objects)
    adapters = args["adapters"]
    url = adapters["database_url"]
    local = [url.removeprefix("sqlite:///")] if url.startswith("sqlite") else []
    local += [p for p in (adapters["store"], adapters["content"]) if "://" not in p]
    found += [
        f"control: {path} cannot be written"
        for path in local
        if not _under(path, _writable(everywhere["control"]))
    ]
    mounted = [m["mountPath"] for m in ray_container(everywhere["engine"])["volumeMounts"]]
    if "://" not in adapters["content"] and not _under(adapters["content"], mounted):
        found.append(f"engine: {adapters['content']} is not mounted")
    keys = args["router"]["auth"].get("keys_file")
    read = [m["mountPath"] for m in ray_container(everywhere["control"])["volumeMounts"]]
    return found if keys and _under(keys, read) else [*found, f"control: no keys at {keys}"]


def _accounts(objects: Objects) -> list[str]:
    accounts = {o["metadata"]["name"]: o for o in every(objects, "ServiceAccount")}
    cluster = find(objects, "RayService")["spec"]["rayClusterConfig"]
    scales = bool(cluster.get("enableInTreeAutoscaling"))
    found = []
    for name, group in groups(objects).items():
        spec = group["template"]["spec"]
        account = spec.get("serviceAccountName")
        if account not in accounts:
            found.append(f"{name}: service account {account} does not exist")
        has_token = spec.get("automountServiceAccountToken") is not False
        if has_token != (scales and name == "head"):
            found.append(f"{name}: service account token mounted: {has_token}")
    return found


def _secrets(objects: Objects) -> list[str]:
    """Where the overlay brings External Secrets, every Secret that is needed has one."""
    brought = {o["spec"]["target"]["name"] for o in every(objects, "ExternalSecret")}
    if not brought:
        return []
    return [
        f"Secret {name}: no ExternalSecret makes it" for name in sorted(_named(objects) - brought)
    ]


def _named(value: Any) -> set[str]:
    names: set[str] = set()
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "secretKeyRef" and isinstance(each, dict):
                names.add(each["name"])
            elif key == "secret" and isinstance(each, dict):
                names |= {each[k] for k in ("name", "secretName") if k in each}
            else:
                names |= _named(each)
    elif isinstance(value, list):
        for each in value:
            names |= _named(each)
    return names


def _network(objects: Objects) -> list[str]:
    policies = [policy["spec"] for policy in every(objects, "NetworkPolicy")]
    found = []
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if deny not in policies:
        found.append("there is no default deny")
    head = pod_labels(objects)[0]
    to_head = [
        rule
        for policy in policies
        if selects(policy["podSelector"], head)
        for rule in policy.get("ingress", [])
        if any(port.get("port") == 8265 for port in rule.get("ports", []))
    ]
    if not any("namespaceSelector" in peer for rule in to_head for peer in rule.get("from", [])):
        found.append("the operator cannot reach the head on 8265: never ready")
    if any("from" not in rule for policy in policies for rule in policy.get("ingress", [])):
        found.append("an ingress rule lets everybody in")
    return found
