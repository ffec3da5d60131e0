"""``serveConfigV2`` as Graftwork and Ray Serve read it; KubeRay does not look into the string."""

from __future__ import annotations

import copy

import yaml

from router.admit.keys import hash_key
from serving.config.deploy import ConfigError, check
from tests.k8s.rendering import Object, Objects, find

_ROW = {"name": "k", "sha256": hash_key("k"), "scopes": ["inference"]}


def problems(objects: Objects) -> list[str]:
    """What `graftwork check` would say about it."""
    text = find(objects, "RayService")["spec"].get("serveConfigV2")
    if not text:
        return ["serveConfigV2 is missing"]
    try:
        raw = yaml.safe_load(text)
        check(with_keys(raw), "serveConfigV2")
    except yaml.YAMLError as error:
        return [f"serveConfigV2 is not YAML: {error}"]
    except ConfigError as error:
        return list(error.problems)
    return []


def with_keys(raw: Object) -> Object:
    """The file with a key in place of those that only the cluster's Secrets hold."""
    raw = copy.deepcopy(raw)
    try:
        auth = raw["applications"][0]["args"]["router"]["auth"]
    except (KeyError, IndexError, TypeError):
        return raw
    if auth.pop("keys_file", None):
        auth["keys"] = [_ROW]
    return raw
