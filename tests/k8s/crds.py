"""Custom resources against their CRDs, as an API server with strict field validation does it.

In its order: nulls that a field does not allow are dropped, defaults are filled in, the schema is
applied with every object closed, then the CEL rules. The CRD files are other projects' and not part
of this one: they are read from ``../shared/crds`` beside the checkout, or from ``GRAFTWORK_CRDS``.
"""

from __future__ import annotations

import json
import os
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.k8s.rendering import ROOT, Object

_FOLDERS = (os.environ.get("GRAFTWORK_CRDS"), ROOT.parent / "shared" / "crds")
# Objects with these are not closed by their own properties.
_OPEN = ("additionalProperties", "x-kubernetes-preserve-unknown-fields")
_ROOT_FIELDS = ("apiVersion", "kind", "metadata")
# CEL's reserved words are escaped in Kubernetes' rules.
_RESERVED = frozenset(("as", "break", "const", "continue", "else", "for", "function", "if"))
_RESERVED |= {"import", "in", "let", "loop", "namespace", "package", "return", "var", "void"}
_RESERVED |= {"while"}


def folder() -> Path:
    """Where the CRD files are; skips the test where there are none."""
    found = _places()
    if found:
        return found[0]
    pytest.skip("no CRD files: put them into ../shared/crds, or name their folder: GRAFTWORK_CRDS")


def available() -> bool:
    """Whether the CRD files are there."""
    return bool(_places())


def _places() -> list[Path]:
    return [Path(place) for place in _FOLDERS if place and Path(place).is_dir()]


@cache
def schema(api_version: str, kind: str) -> Object | None:
    """OpenAPI schema of a served version; None when there is no CRD for the kind."""
    group, _, version = api_version.partition("/")
    path = folder() / f"{group}_{kind.lower()}s.yaml"
    if not path.is_file():
        return None
    spec = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["spec"]
    served = {v["name"]: v["schema"]["openAPIV3Schema"] for v in spec["versions"] if v["served"]}
    return served.get(version)


@cache
def _validator(api_version: str, kind: str) -> Draft202012Validator:
    found = schema(api_version, kind)
    assert found is not None
    return Draft202012Validator(closed(found, root=True))


def problems(resource: Object) -> list[str]:
    """What a strict API server would refuse; empty also when there is no CRD for the kind."""
    return list(_checked(json.dumps(resource, sort_keys=True)))


@lru_cache(maxsize=1024)
def _checked(text: str) -> tuple[str, ...]:
    """Remembered: overlays share most of their objects, and mutations change one."""
    return tuple(_problems(json.loads(text)))


def _problems(resource: Object) -> list[str]:
    key = (resource["apiVersion"], resource["kind"])
    rules = schema(*key)
    if rules is None:
        return []
    value = defaulted(rules, without_nulls(rules, resource))
    name = f"{resource['kind']} {resource['metadata']['name']}"
    wrong = [
        f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for error in _validator(*key).iter_errors(value)
    ]
    return wrong or [f"{name}: {line}" for line in broken_rules(rules, value, "")]


def closed(rules: Object, *, root: bool = False) -> Object:
    """JSON Schema in which every object refuses properties that it does not name."""
    result = {k: v for k, v in rules.items() if not k.startswith("x-") and k != "format"}
    if rules.get("x-kubernetes-int-or-string"):
        # The alternatives beside it say the same in another way.
        return {"type": ["integer", "string"]}
    if "properties" in rules:
        result["properties"] = {k: closed(v) for k, v in rules["properties"].items()}
        if root or rules.get("x-kubernetes-embedded-resource"):
            for field in _ROOT_FIELDS:
                result["properties"].setdefault(field, {})
                if field == "metadata":
                    result["properties"][field] = {"type": "object"}
        if not any(rules.get(word) for word in _OPEN):
            result["additionalProperties"] = False
    if isinstance(rules.get("additionalProperties"), dict):
        result["additionalProperties"] = closed(rules["additionalProperties"])
    if isinstance(rules.get("items"), dict):
        result["items"] = closed(rules["items"])
    if rules.get("nullable") and "type" in rules:
        result["type"] = [rules["type"], "null"]
    return result


def without_nulls(rules: Object, value: Any) -> Any:
    """The value without nulls where the rules does not allow them."""
    return _walk(rules, value, _drop_nulls)


def defaulted(rules: Object, value: Any) -> Any:
    """The value with the rules's defaults filled in."""
    return _walk(rules, value, _fill_defaults)


def _walk(rules: Object, value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        value = change(rules, value)
        return {k: _walk(_property(rules, k), v, change) for k, v in value.items()}
    if isinstance(value, list):
        return [_walk(rules.get("items") or {}, item, change) for item in value]
    return value


def _property(rules: Object, name: str) -> Object:
    found = rules.get("properties", {}).get(name)
    if found is None:
        found = rules.get("additionalProperties")
    return found if isinstance(found, dict) else {}


def _drop_nulls(rules: Object, value: Object) -> Object:
    return {k: v for k, v in value.items() if v is not None or _property(rules, k).get("nullable")}


def _fill_defaults(rules: Object, value: Object) -> Object:
    defaults = {k: p["default"] for k, p in rules.get("properties", {}).items() if "default" in p}
    return {**{k: v for k, v in defaults.items() if k not in value}, **value}


@cache
def _program(rule: str) -> Any:
    return cel.compile(rule)


def broken_rules(rules: Object, value: Any, path: str) -> list[str]:
    """The CEL rules that the value breaks; those that need the object before an update are left."""
    found = [
        f"{path.lstrip('.')}: {rule.get('message', rule['rule'])}"
        for rule in rules.get("x-kubernetes-validations") or ()
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value)
    ]
    if isinstance(value, dict):
        for key, each in value.items():
            found += broken_rules(_property(rules, key), each, f"{path}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += broken_rules(rules.get("items") or {}, each, f"{path}.{index}")
    return found


def _holds(rule: str, value: Any) -> bool:
    try:
        return _program(rule).execute({"self": _escaped(value)}) is True
    except (RuntimeError, TypeError, ValueError, KeyError):
        # A rule that fails on a value refuses it: so does the API server.
        return False


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {f"__{k}__" if k in _RESERVED else k: _escaped(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value
