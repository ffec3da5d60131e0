"""Write the ``serveConfigV2`` of the Kubernetes overlays from the deploy files: ``make k8s``.

An overlay's ``serve.yaml`` names a deploy file, and the fields in which the cluster differs::

    config: ../../../config/gpu.yaml
    set: {applications.0.args.adapters.store: "s3://bucket/adapters"}

``serve-config.yaml`` beside it is what comes out: a patch for the RayService. With ``--check``
nothing is written; the exit status is 1 when a file is not what it should be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from router.admit.keys import hash_key
from serving.config.deploy import ConfigError, load

ROOT = Path(__file__).resolve().parent.parent
OVERLAYS = ROOT / "k8s" / "overlays"
SOURCE, GENERATED = "serve.yaml", "serve-config.yaml"
NAME = "graftwork"
_HEADER = "# Made by `make k8s` from serve.yaml and the deploy file that it names; do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Writes several lines as a block, so that a person can read the patch."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def serve_config(overlay: Path) -> dict[str, Any]:
    """The deploy file of an overlay. Raises ``ConfigError`` with every problem of the result."""
    source = yaml.safe_load((overlay / SOURCE).read_text(encoding="utf-8"))
    path = (overlay / source["config"]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        # What the Secrets hold is not known here, only that there will be a key.
        keys = Path(scratch) / "keys.yaml"
        row = {"name": "k", "sha256": hash_key("k"), "scopes": ["inference"]}
        keys.write_text(yaml.safe_dump([row]), encoding="utf-8")
        auth = "applications.0.args.router.auth"
        load(path, {**source["set"], auth: {"keys_file": str(keys)}})
    raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for field, value in source["set"].items():
        _set(raw, field, value)
    return raw


def _set(raw: Any, field: str, value: Any) -> None:
    *parents, last = field.split(".")
    for name in parents:
        raw = raw[int(name)] if isinstance(raw, list) else raw.setdefault(name, {})
    raw[last] = value


def patch(overlay: Path) -> str:
    """The text of ``serve-config.yaml``."""
    config = yaml.dump(serve_config(overlay), Dumper=_Dumper, sort_keys=False, width=100)
    resource = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": NAME},
        "spec": {"serveConfigV2": config},
    }
    return _HEADER + yaml.dump(resource, Dumper=_Dumper, sort_keys=False, width=120)


def overlays() -> list[Path]:
    """Every overlay, by name."""
    return sorted(path.parent for path in OVERLAYS.glob(f"*/{SOURCE}"))


def main() -> int:
    """Write, or with ``--check`` compare, the patches of all overlays or of those named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("overlays", nargs="*", type=Path, help="default: all in k8s/overlays")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when out of date")
    arguments = parser.parse_args()
    stale = 0
    for overlay in arguments.overlays or overlays():
        try:
            wanted = patch(overlay)
        except ConfigError as error:
            print(error, file=sys.stderr)
            return 1
        target = overlay / GENERATED
        if target.exists() and target.read_text(encoding="utf-8") == wanted:
            continue
        if arguments.check:
            print(f"{target} is out of date: run `make k8s`", file=sys.stderr)
            stale = 1
        else:
            target.write_text(wanted, encoding="utf-8")
            print(f"wrote {target}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
