"""Pod Security `restricted`, read-only roots, no literal secrets, nothing open that need not be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.k8s import native
from tests.k8s.rendering import Object, Objects, every, find

_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_KEY", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"\b(gw-[\w-]{20,}|sk-[\w-]{16,}|hf_\w{16,}|AKIA[0-9A-Z]{16}|[0-9a-f]{64})\b"
    r"|://[^/\s:@]+:[^/\s@]+@|BEGIN [A-Z ]*PRIVATE KEY"
)
_FORBIDDEN_ENV = frozenset({"VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_SERVER_DEV_MODE"})


def problems(objects: Objects) -> list[str]:
    """One line for each thing that is not as closed as it should be."""
    found = [
        f"{pod['metadata']['name']}: {line}"
        for pod in native.pods(objects)
        for line in [*_pod(pod["spec"]), *_containers(pod["spec"])]
    ]
    return found + _autoscaler(objects) + _secrets(objects) + _doors(objects) + _namespace(objects)


def _pod(spec: Object) -> list[str]:
    context = spec.get("securityContext") or {}
    found = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if context.get("runAsNonRoot") is not True:
        found.append("runAsNonRoot is not true")
    if context.get("runAsUser") == 0:
        found.append("runs as root")
    if (context.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        found.append("no seccomp profile")
    if context.get("sysctls"):
        found.append("sets sysctls")
    if spec.get("enableServiceLinks") is not False:
        found.append("enableServiceLinks: other services' addresses become variables")
    kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
    found += [f"volume of kind {kind}" for kind in sorted(kinds - _VOLUMES)]
    unbounded = [
        v["name"]
        for v in spec.get("volumes", [])
        if "emptyDir" in v and not (v["emptyDir"] or {}).get("sizeLimit")
    ]
    return found + [f"emptyDir {name} has no sizeLimit" for name in unbounded]


def _containers(spec: Object) -> list[str]:
    containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
    return [f"{c['name']}: {line}" for c in containers for line in _container(c)]


def _container(container: Object) -> list[str]:
    context = container.get("securityContext") or {}
    found = []
    if context.get("allowPrivilegeEscalation") is not False:
        found.append("allowPrivilegeEscalation is not false")
    if context.get("privileged"):
        found.append("is privileged")
    if context.get("readOnlyRootFilesystem") is not True:
        found.append("the root file system can be written")
    if "ALL" not in (context.get("capabilities") or {}).get("drop", []):
        found.append("does not drop all capabilities")
    if (context.get("capabilities") or {}).get("add"):
        found.append("adds capabilities")
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        found.append("runs as root")
    if any(port.get("hostPort") for port in container.get("ports", [])):
        found.append("has a hostPort")
    if not {"cpu", "memory"} <= (container.get("resources", {}).get("limits") or {}).keys():
        found.append("has no limits for cpu and memory")
    return found


def _autoscaler(objects: Objects) -> list[str]:
    for service in every(objects, "RayService"):
        cluster = service["spec"]["rayClusterConfig"]
        if cluster.get("enableInTreeAutoscaling"):
            context = (cluster.get("autoscalerOptions") or {}).get("securityContext") or {}
            options = {**cluster.get("autoscalerOptions", {}), "securityContext": context}
            return [f"autoscaler: {line}" for line in _container(options)]
    return []


def _secrets(objects: Objects) -> list[str]:
    found = [
        f"Secret {o['metadata']['name']} is in the manifests" for o in every(objects, "Secret")
    ]
    for variable in _variables(objects):
        name, value = variable.get("name", ""), variable.get("value")
        if name in _FORBIDDEN_ENV:
            found.append(f"env {name} must not be set")
        if (
            value
            and _SECRET_NAME.search(name)
            and not value.startswith("/")
            and not name.endswith("_MODE")
        ):
            found.append(f"env {name} has a literal value")
    for each in objects:
        match = _SECRET_TEXT.search(yaml.safe_dump(each))
        if match:
            found.append(f"{each['kind']} {each['metadata']['name']}: secret? {match[0][:12]}…")
    return found


def _variables(objects: Objects) -> Iterator[Object]:
    for each in objects:
        yield from _env(each)
        if each["kind"] == "ConfigMap":
            yield from ({"name": k, "value": v} for k, v in each.get("data", {}).items())


def _env(value: Any) -> Iterator[Object]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "env" and isinstance(each, list):
                yield from each
            else:
                yield from _env(each)
    elif isinstance(value, list):
        for each in value:
            yield from _env(each)


def _doors(objects: Objects) -> list[str]:
    """Ray's own ports stay inside; the admin plane is not on the public gateway."""
    found = []
    for service in every(objects, "RayService"):
        cluster = service["spec"]["rayClusterConfig"]
        if (cluster.get("authOptions") or {}).get("mode") != "token":
            found.append("Ray's token authentication is off")
        if cluster["headGroupSpec"].get("enableIngress"):
            found.append("the dashboard has an Ingress")
        if cluster["headGroupSpec"].get("serviceType", "ClusterIP") != "ClusterIP":
            found.append("the head's Service is reachable from outside")
    for route in every(objects, "HTTPRoute"):
        rules = route["spec"].get("rules", [])
        ports = {ref.get("port") for rule in rules for ref in rule.get("backendRefs", [])}
        found += [f"{route['metadata']['name']}: leads to port {p}" for p in ports - {8000}]
        if "public" in route["metadata"]["name"]:
            paths = {m["path"]["value"] for rule in rules for m in rule.get("matches", [{}])}
            found += [f"public route for {p}" for p in sorted(paths - {"/v1", "/console"})]
    return found + [f"{o['kind']} {o['metadata']['name']}" for o in every(objects, "Ingress")]


def _namespace(objects: Objects) -> list[str]:
    labels = find(objects, "Namespace")["metadata"].get("labels", {})
    enforced = labels.get("pod-security.kubernetes.io/enforce")
    return [] if enforced == "restricted" else [f"the namespace enforces {enforced!r}"]
