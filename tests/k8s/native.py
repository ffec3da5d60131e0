"""Kubernetes' own kinds, and the Pods that a RayService would make, against Kubernetes' schemas."""

from __future__ import annotations

import json
from functools import lru_cache

import kubernetes_validate

from tests.k8s.rendering import Object, Objects, every, groups

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
_CUSTOM_GROUPS = (
    "ray.io",
    "monitoring.coreos.com",
    "gateway.networking.k8s.io",
    "external-secrets.io",
)


def problems(objects: Objects, version: str = VERSIONS[-1]) -> list[str]:
    """Unknown fields and wrong types, one line each."""
    return [line for each in [*_native(objects), *pods(objects)] for line in _check(each, version)]


def _native(objects: Objects) -> Objects:
    return [o for o in objects if o["apiVersion"].partition("/")[0] not in _CUSTOM_GROUPS]


def pods(objects: Objects) -> Objects:
    """The Pods of each group, and the autoscaler's container beside the head's."""
    if not every(objects, "RayService"):
        return []
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **group["template"].get("metadata", {})},
            "spec": group["template"]["spec"],
        }
        for name, group in groups(objects).items()
    ]


def _check(resource: Object, version: str) -> list[str]:
    return list(_checked(json.dumps(resource, sort_keys=True), version))


@lru_cache(maxsize=1024)
def _checked(text: str, version: str) -> tuple[str, ...]:
    """Remembered: overlays share most of their objects, and mutations change one."""
    return tuple(_problems(json.loads(text), version))


def _problems(resource: Object, version: str) -> list[str]:
    name = f"{resource['kind']} {resource['metadata']['name']}"
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{name}: {'.'.join(map(str, error.path))}: {error.message[:300]}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"{name}: Kubernetes {version} has no {resource['apiVersion']} {resource['kind']}"]
    return []
