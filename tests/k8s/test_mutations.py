"""Broken manifests: each is refused, and for the reason that was broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.k8s import checks, crds
from tests.k8s.rendering import Object, Objects, every, find, groups, render

Break = Callable[[Objects], Any]


def service(objects: Objects) -> Object:
    """The RayService's spec."""
    spec: Object = find(objects, "RayService")["spec"]
    return spec


def cluster(objects: Objects) -> Object:
    """Its RayCluster."""
    config: Object = service(objects)["rayClusterConfig"]
    return config


def pod(objects: Objects, group: str = "engine") -> Object:
    """A group's Pod."""
    spec: Object = groups(objects)[group]["template"]["spec"]
    return spec


def container(objects: Objects, group: str = "engine") -> Any:
    """The container that Ray runs in."""
    return pod(objects, group)["containers"][0]


def serve(objects: Objects, change: Callable[[Any], Any]) -> None:
    """Change the deploy file inside."""
    raw = yaml.safe_load(service(objects)["serveConfigV2"])
    change(raw)
    service(objects)["serveConfigV2"] = yaml.safe_dump(raw)


def runtime(objects: Objects) -> Any:
    """The variables of every Ray container."""
    found = every(objects, "ConfigMap")
    return next(o for o in found if o["metadata"]["name"].startswith("graftwork-runtime"))["data"]


def without(objects: Objects, kind: str, name: str) -> None:
    """Take an object out."""
    objects.remove(find(objects, kind, name))


def args(raw: Any) -> Any:
    """Graftwork's settings in a deploy file."""
    return raw["applications"][0]["args"]


def row(raw: Any, index: int) -> Any:
    """A deployment: 0 router, 1 engine, 2 registry."""
    return raw["applications"][0]["deployments"][index]


# Found by CRD schemas and CEL rules, so only where the CRD files are.
IN_CRDS: dict[str, tuple[Break, str]] = {
    "unknown managedBy": (lambda o: service(o).update(managedBy="me"), "managedBy"),
    "auth mode bearer": (lambda o: cluster(o)["authOptions"].update(mode="bearer"), "bearer"),
    "autoscaler v3": (lambda o: cluster(o)["autoscalerOptions"].update(version="v3"), "v3"),
    "misspelt container field": (
        lambda o: container(o).update(imagePullPolcy="Always"),
        "imagePullPolcy",
    ),
    "misspelt RayService field": (lambda o: service(o).update(serveConfigV3=""), "serveConfigV3"),
    "replicas as text": (lambda o: groups(o)["engine"].update(replicas="two"), "two"),
    "route without a slash": (
        lambda o: find(o, "HTTPRoute", "graftwork-public")["spec"]["rules"][0]["matches"][0][
            "path"
        ].update(value="v1"),
        "absolute path",
    ),
    "backend timeout above the request's": (
        lambda o: find(o, "HTTPRoute", "graftwork-public")["spec"]["rules"][0]["timeouts"].update(
            backendRequest="900s"
        ),
        "backendRequest",
    ),
    "listener without certificate": (
        lambda o: find(o, "Gateway", "graftwork-public")["spec"]["listeners"][0]["tls"].pop(
            "certificateRefs"
        ),
        "certificateRefs",
    ),
}

MUTATIONS: dict[str, tuple[Break, str]] = {
    # Kubernetes' own kinds
    "misspelt budget": (
        lambda o: find(o, "PodDisruptionBudget", "graftwork-engine")["spec"].update(minAvailble=1),
        "minAvailble",
    ),
    "volume claim without a size": (
        lambda o: find(o, "PersistentVolumeClaim", "graftwork-models")["spec"]["resources"].update(
            request={}
        ),
        "request",
    ),
    "port as text": (
        lambda o: find(o, "NetworkPolicy", "operator-to-head")["spec"]["ingress"][0]["ports"][
            0
        ].update(port=[8265]),
        "8265",
    ),
    # KubeRay
    "incremental upgrade without a gateway class": (
        lambda o: service(o).update(upgradeStrategy={"type": "NewClusterWithIncrementalUpgrade"}),
        "gatewayClassName",
    ),
    "unknown upgrade strategy": (
        lambda o: service(o).update(upgradeStrategy={"type": "Rolling"}),
        "Rolling",
    ),
    "Redis password in the environment": (
        lambda o: (
            container(o, "head")
            .setdefault("env", [])
            .append(
                {
                    "name": "REDIS_PASSWORD",
                    "valueFrom": {"secretKeyRef": {"name": "graftwork-redis", "key": "password"}},
                }
            )
        ),
        "REDIS_PASSWORD",
    ),
    "least above most": (lambda o: groups(o)["engine"].update(minReplicas=9), "above maxReplicas"),
    "token authentication on an old Ray": (
        lambda o: cluster(o).update(rayVersion="2.51.0"),
        "no token authentication",
    ),
    "two groups of one name": (lambda o: groups(o)["engine"].update(groupName="control"), "twice"),
    "a Pod that restarts, with autoscaler v2": (
        lambda o: pod(o).update(restartPolicy="Always"),
        "restartPolicy",
    ),
    "resources said twice": (
        lambda o: groups(o)["engine"].update(resources={"CPU": "1"}),
        "beside resources",
    ),
    "the operator's own network policy": (
        lambda o: cluster(o).update(networkPolicy={}),
        "networkPolicy",
    ),
    # serveConfigV2
    "key that Ray Serve drops": (
        lambda o: serve(o, lambda r: row(r, 1).update(max_surge_pct=10)),
        "max_surge_pct",
    ),
    "value that Ray Serve refuses": (
        lambda o: serve(o, lambda r: row(r, 1).update(max_ongoing_requests=0)),
        "max_ongoing_requests",
    ),
    "setting that Graftwork does not have": (
        lambda o: serve(o, lambda r: args(r).update(enigne={})),
        "enigne",
    ),
    "two registries": (
        lambda o: serve(o, lambda r: row(r, 2).update(num_replicas=2)),
        "single writer",
    ),
    "no API keys": (
        lambda o: serve(o, lambda r: args(r)["router"].pop("auth")),
        "without API keys",
    ),
    "not YAML": (lambda o: service(o).update(serveConfigV2="a: [b"), "not YAML"),
    "no serveConfigV2": (lambda o: service(o).pop("serveConfigV2"), "missing"),
    # security
    "root file system that can be written": (
        lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False),
        "can be written",
    ),
    "root user": (lambda o: pod(o)["securityContext"].update(runAsNonRoot=False), "runAsNonRoot"),
    "no seccomp": (lambda o: pod(o)["securityContext"].pop("seccompProfile"), "seccomp"),
    "capability added": (
        lambda o: container(o)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
        "adds capabilities",
    ),
    "host path": (
        lambda o: pod(o)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
        "hostPath",
    ),
    "host network": (lambda o: pod(o).update(hostNetwork=True), "hostNetwork"),
    "autoscaler as it comes": (
        lambda o: cluster(o)["autoscalerOptions"].pop("securityContext"),
        "autoscaler",
    ),
    "literal password": (
        lambda o: container(o, "control")["env"].append(
            {"name": "DB_PASSWORD", "value": "hunter2"}
        ),
        "literal value",
    ),
    "password in a URL": (
        lambda o: serve(
            o,
            lambda r: args(r)["adapters"].update(database_url="postgresql+psycopg://u:hunter2@h/d"),
        ),
        "secret?",
    ),
    "a Secret": (
        lambda o: o.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s"},
                "stringData": {"a": "b"},
            }
        ),
        "Secret s is in the manifests",
    ),
    "vLLM's open adapter routes": (
        lambda o: runtime(o).update(VLLM_ALLOW_RUNTIME_LORA_UPDATING="1"),
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    ),
    "token authentication off": (lambda o: cluster(o).pop("authOptions"), "authentication is off"),
    "public admin plane": (
        lambda o: find(o, "HTTPRoute", "graftwork-public")["spec"]["rules"][0]["matches"].append(
            {"path": {"type": "PathPrefix", "value": "/admin"}}
        ),
        "public route for /admin",
    ),
    "route to the dashboard": (
        lambda o: find(o, "HTTPRoute", "graftwork-internal")["spec"]["rules"][0]["backendRefs"][
            0
        ].update(port=8265),
        "port 8265",
    ),
    "a namespace that enforces less": (
        lambda o: find(o, "Namespace")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "baseline"}
        ),
        "baseline",
    ),
    # coherence
    "another Ray": (lambda o: cluster(o).update(rayVersion="2.59.0"), "rayVersion"),
    "another image on the head": (
        lambda o: container(o, "head").update(image="x:gpu"),
        "different images",
    ),
    "the CPU image on GPUs": (
        lambda o: [container(o, g).update(image="graftwork:cpu") for g in groups(o)],
        "not the gpu one",
    ),
    "HAProxy mode off": (
        lambda o: runtime(o).pop("RAY_SERVE_ENABLE_HA_PROXY"),
        "RAY_SERVE_ENABLE_HA_PROXY",
    ),
    "an environment of its own": (
        lambda o: container(o)["env"].append(
            {"name": "RAY_SERVE_THROUGHPUT_OPTIMIZED", "value": "0"}
        ),
        "differs",
    ),
    "no environment": (lambda o: container(o).pop("envFrom"), "same environment"),
    "loopback": (
        lambda o: serve(o, lambda r: r["http_options"].update(host="127.0.0.1")),
        "0.0.0.0",
    ),
    "another port": (
        lambda o: serve(o, lambda r: r["http_options"].update(port=8001)),
        "port serve",
    ),
    "budget that selects nothing": (
        lambda o: find(o, "PodDisruptionBudget", "graftwork-engine")["spec"]["selector"][
            "matchLabels"
        ].update({"app.kubernetes.io/component": "engines"}),
        "selects nothing",
    ),
    "budget of everything": (
        lambda o: find(o, "PodDisruptionBudget", "graftwork-engine")["spec"].update(minAvailable=2),
        "could ever be drained",
    ),
    "budget in percent": (
        lambda o: find(o, "PodDisruptionBudget", "graftwork-engine")["spec"].update(
            minAvailable="50%"
        ),
        "whole number",
    ),
    "streams cut by the Pod's end": (
        lambda o: pod(o).update(terminationGracePeriodSeconds=30),
        "not shorter",
    ),
    "streams cut by the replica's end": (
        lambda o: serve(o, lambda r: row(r, 1).update(graceful_shutdown_timeout_s=20)),
        "not shorter",
    ),
    "streams cut by the gateway": (
        lambda o: find(o, "HTTPRoute", "graftwork-public")["spec"]["rules"][0].pop("timeouts"),
        "cuts long streams",
    ),
    "old cluster deleted too early": (
        lambda o: service(o).update(rayClusterDeletionDelaySeconds=60),
        "not shorter",
    ),
    "more engines than GPUs": (
        lambda o: serve(o, lambda r: row(r, 1)["autoscaling_config"].update(max_replicas=9)),
        "replicas need",
    ),
    "more GPUs asked than allowed": (
        lambda o: container(o)["resources"]["requests"].update({"nvidia.com/gpu": "2"}),
        "the limit",
    ),
    "GPU without toleration": (lambda o: pod(o).pop("tolerations"), "tolerated"),
    "no default deny": (lambda o: without(o, "NetworkPolicy", "default-deny"), "default deny"),
    "operator shut out": (lambda o: without(o, "NetworkPolicy", "operator-to-head"), "8265"),
    "a rule for everybody": (
        lambda o: find(o, "NetworkPolicy", "clients-to-endpoint")["spec"]["ingress"][0].pop("from"),
        "everybody",
    ),
    "selector of one generation": (
        lambda o: find(o, "NetworkPolicy", "ray-nodes")["spec"]["podSelector"][
            "matchLabels"
        ].update({"ray.io/cluster": "graftwork-abcde"}),
        "selects nothing",
    ),
    "claim that does not exist": (
        lambda o: without(o, "PersistentVolumeClaim", "graftwork-models"),
        "claim graftwork-models",
    ),
    "no shared memory": (lambda o: container(o)["volumeMounts"].pop(1), "/dev/shm"),
    "state on the read-only root": (
        lambda o: serve(o, lambda r: args(r).update(state_dir="/srv/graftwork")),
        "cannot be written",
    ),
    "service account that does not exist": (
        lambda o: without(o, "ServiceAccount", "graftwork-worker"),
        "does not exist",
    ),
    "a token for workers": (
        lambda o: pod(o).update(automountServiceAccountToken=True),
        "token mounted",
    ),
    "secret that nobody makes": (
        lambda o: without(o, "ExternalSecret", "graftwork-postgres"),
        "graftwork-postgres",
    ),
}


@pytest.mark.parametrize("name", [*IN_CRDS, *MUTATIONS])
def test_a_broken_manifest_is_refused(name: str) -> None:
    """The production overlay with one thing broken."""
    if name in IN_CRDS:
        crds.folder()
    mutate, reason = {**IN_CRDS, **MUTATIONS}[name]
    objects = render("gpu-prod")
    mutate(objects)
    found = checks.problems(objects)
    assert any(reason in line for line in found), found or "nothing was found"
