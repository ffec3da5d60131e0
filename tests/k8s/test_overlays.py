"""Every overlay renders, and a strict API server, KubeRay and Ray Serve would take it."""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from adapters.dataset.datasets import DIRECTORY as DATASETS
from adapters.records.sealing import AUDIT
from router.audit.logs import FEEDBACK
from scripts import serve_config
from serving.bringup.system import prepare_environment
from serving.config.settings import DISTILLATIONS, ERASURES
from serving.names import ENGINE, REGISTRY, ROUTER
from serving.router.capturing import SPOOLS
from tests.k8s import arithmetic, checks, coherence, crds, native, operator_rules, security, serve
from tests.k8s.rendering import (
    K8S,
    OVERLAYS,
    ROOT,
    deploy_file,
    find,
    groups,
    ray_container,
    render,
    runtime,
)

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def test_these_are_all_overlays() -> None:
    """No overlay is left out here."""
    assert sorted(p.name for p in (K8S / "overlays").iterdir()) == sorted(OVERLAYS)


@overlays
def test_kubernetes_takes_it(overlay: str) -> None:
    """Kubernetes' own kinds and the Pods: no unknown field, no wrong type."""
    assert not native.problems(render(overlay))


@pytest.mark.parametrize("kubernetes", native.VERSIONS[:-1])
def test_older_kubernetes_takes_it(kubernetes: str) -> None:
    """The overlay that uses everything, on each version that is still maintained."""
    assert not native.problems(render("gpu-prod"), kubernetes)


@overlays
def test_its_custom_resources_are_valid(overlay: str) -> None:
    """Closed schemas and CEL rules of KubeRay, Gateway API and Prometheus' operator."""
    assert not [line for each in render(overlay) for line in crds.problems(each)]


@overlays
def test_the_operator_takes_it(overlay: str) -> None:
    """KubeRay's own rules, which its CRD does not hold."""
    assert not operator_rules.problems(render(overlay))


@overlays
def test_it_is_closed(overlay: str) -> None:
    """Restricted Pods, read-only roots, no literal secret, no dashboard, no public admin plane."""
    assert not security.problems(render(overlay))


@overlays
def test_it_fits_together(overlay: str) -> None:
    """Versions, environment, ports, selectors, volumes, drains, GPUs, budgets, routes."""
    assert not coherence.problems(render(overlay))
    assert not arithmetic.problems(render(overlay))


@overlays
def test_the_serve_config_is_the_deploy_files(overlay: str) -> None:
    """`make k8s` would write what is there."""
    folder = K8S / "overlays" / overlay
    assert (folder / serve_config.GENERATED).read_text() == serve_config.patch(folder)


@overlays
def test_the_serve_config_loads(overlay: str) -> None:
    """Ray Serve and Graftwork read it, without an unknown key; then the app itself is built."""
    objects = render(overlay)
    assert not serve.problems(objects)
    application = deploy_file(objects)["applications"][0]
    named = {row["name"] for row in application["deployments"]}
    from serving.app import build

    bound = build(application["args"])
    found, waiting = set(), [bound]
    while waiting:
        node = waiting.pop()._bound_deployment
        found.add(node.name)
        waiting += [a for a in node.init_args if hasattr(a, "_bound_deployment")]
    assert named == found == {ROUTER, ENGINE, REGISTRY}


@overlays
def test_the_base_deploy_file_is_that_of_make_serve(overlay: str) -> None:
    """An overlay's source is a file in `config/`, and `serve-config.yaml` differs where it says."""
    source = yaml.safe_load((K8S / "overlays" / overlay / serve_config.SOURCE).read_text())
    path = (K8S / "overlays" / overlay / source["config"]).resolve()
    assert path.parent == ROOT / "config"
    raw = yaml.safe_load(path.read_text())
    assert (
        deploy_file(render(overlay))["applications"][0]["import_path"]
        == (raw["applications"][0]["import_path"])
    )


def test_ray_is_the_version_that_is_locked() -> None:
    """The operator's idea of Ray, the installed one and the images' one are the same."""
    assert version("ray") == coherence.RAY_VERSION
    for flavour in ("cpu", "gpu"):
        lock = (ROOT / "requirements" / f"{flavour}.lock").read_text()
        assert re.search(rf"^ray\[?.*==\s*{re.escape(coherence.RAY_VERSION)}\b", lock, re.MULTILINE)


@overlays
def test_the_cluster_sets_what_make_serve_sets(overlay: str, tmp_path: Path) -> None:
    """Each variable that the local start needs is in the Pods, and switches have the same value."""
    os.environ.clear()
    prepare_environment(tmp_path)
    local = dict(os.environ)
    # Local only: on a cluster Prometheus reads Ray's metrics.
    local.pop("RAY_enable_metrics_collection")
    # A Pod is alone in its network: Ray's own ports are free there.
    local = {name: v for name, v in local.items() if "_FALLBACK_PROXY_" not in name}
    cluster = runtime(render(overlay))
    assert not local.keys() - cluster.keys()
    # Times differ on purpose (see the drain chain), and so do places.
    switches = {k for k, v in local.items() if v in ("0", "1") and not k.endswith("_S")}
    assert {k: cluster[k] for k in switches} == {k: local[k] for k in switches}


@overlays
def test_the_wrapper_is_where_the_image_has_it(overlay: str) -> None:
    """HAProxy's wrapper, its real binary and its error pages: as the Dockerfile places them."""
    cluster = runtime(render(overlay))
    wrapper = Path(cluster["RAY_SERVE_HAPROXY_BINARY_PATH"])
    assert (ROOT / wrapper.relative_to("/opt/graftwork")).is_file()
    # A Unix socket's path ends at 97 characters, and Ray adds 57 to this one.
    assert len(cluster["RAY_SERVE_HAPROXY_SOCKET_PATH"]) + 57 < 97


def test_nothing_durable_is_in_the_production_cluster() -> None:
    """Two generations overlap in an upgrade: they must not share a volume that one node holds."""
    objects = render("gpu-prod")
    args = deploy_file(objects)["applications"][0]["args"]["adapters"]
    assert args["database_url"].startswith("postgresql")
    assert args["store"].startswith("s3://")
    assert args["content"].startswith("s3://")
    claims = [o for o in objects if o["kind"] == "PersistentVolumeClaim"]
    assert all(c["spec"]["accessModes"] == ["ReadWriteMany"] for c in claims)
    cluster = find(objects, "RayService")["spec"]
    assert cluster["upgradeStrategy"]["type"] == "NewCluster"
    assert "gcsFaultToleranceOptions" in cluster["rayClusterConfig"]


@overlays
def test_what_nothing_else_has_lies_on_a_volume(overlay: str) -> None:
    """Law 8 where a Pod is replaced: the log, what restores cannot compute, what is on its way.

    The state directory itself is the Pod's own: staged copies and caches would fill a volume.
    """
    durable = {AUDIT, FEEDBACK, SPOOLS, DATASETS, DISTILLATIONS, ERASURES}
    objects = render(overlay)
    control = groups(objects)["control"]
    mounts = ray_container(control)["volumeMounts"]
    state = deploy_file(objects)["applications"][0]["args"]["state_dir"]
    on_records = {m["mountPath"]: m["subPath"] for m in mounts if m["name"] == "records"}
    assert on_records == {f"{state}/{name}": name for name in durable}
    volumes = {v["name"]: v for v in control["template"]["spec"]["volumes"]}
    claim = volumes["records"]["persistentVolumeClaim"]["claimName"]
    assert find(objects, "PersistentVolumeClaim", claim)
    assert "emptyDir" in volumes["state"]


def test_a_database_on_a_block_volume_has_one_writer() -> None:
    """Where SQLite lies on a volume, no second RayCluster starts beside the first."""
    for overlay in ("cpu-smoke", "gpu-single"):
        objects = render(overlay)
        assert find(objects, "RayService")["spec"]["upgradeStrategy"]["type"] == "None"
        control = groups(objects)["control"]
        assert control["maxReplicas"] == 1


@overlays
def test_all_checks_together_find_nothing(overlay: str) -> None:
    """What the mutations are measured by starts from zero."""
    assert not checks.problems(render(overlay))
