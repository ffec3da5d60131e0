"""Monitors, rules, dashboards: every metric and label exists, every alert has a runbook."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.utils import floatToGoString

from router.account.metrics import FIRST_TOKEN_S
from tests.k8s import metrics
from tests.k8s.rendering import (
    K8S,
    ROOT,
    every,
    find,
    groups,
    pod_labels,
    ray_container,
    render,
    selects,
)

FOLDER = K8S / "components/monitoring"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs/operations/alerts.md"
# Grafana's variables, as Prometheus would get them.
_VARIABLES = {"$__rate_interval": "5m", "$budget_usd_per_day": "100"}
Row = dict[str, Any]


@cache
def rules() -> list[Row]:
    """Every rule, recording or alerting."""
    spec = yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]
    return [rule for group in spec["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression with the place that it is in."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                text = target["expr"]
                for name, value in _VARIABLES.items():
                    text = text.replace(name, value)
                yield f"{path.name}: {panel['title']}", text


class _Selectors:
    """Series that an expression reads, and the labels that it names."""

    def __init__(self, text: str) -> None:
        self.found: list[tuple[str, frozenset[str]]] = []
        self.grouping: set[str] = set()
        self._walk(promql_parser.parse(text))

    def _walk(self, node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            labels = frozenset(m.name for m in node.matchers.matchers)
            self.found.append((node.name or "", labels - {"__name__"}))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            self.grouping |= set(node.modifier.labels)
        for part in ("expr", "lhs", "rhs", "param", "vector_selector"):
            child = getattr(node, part, None)
            if child is not None:
                self._walk(child)
        for child in getattr(node, "args", None) or ():
            self._walk(child)


@pytest.mark.parametrize(("place", "text"), list(expressions()), ids=lambda value: value[:60])
def test_every_series_and_label_exists(
    place: str, text: str, own: dict[str, frozenset[str]]
) -> None:
    """PromQL that parses, over series that somebody really makes, by labels that these have."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    read = _Selectors(text)
    assert read.found, place
    for name, labels in read.found:
        if name in own:
            known = own[name] | metrics.ADDED_LABELS
            assert labels | read.grouping <= known | _labels_of_others(read, name, own), place
        else:
            assert name in recorded | metrics.vllm() | metrics.ray(), (
                f"{place}: nobody makes {name}"
            )


def _labels_of_others(
    read: _Selectors, name: str, own: dict[str, frozenset[str]]
) -> frozenset[str]:
    """In a join, a grouping label may belong to the other side."""
    others = (own.get(other, frozenset()) for other, _ in read.found if other != name)
    return frozenset().union(*others)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, frozenset[str]]:
    """The series of routers and registry."""
    return metrics.own(tmp_path_factory.mktemp("metrics") / "registry.db")


def test_the_search_for_series_finds_them(own: dict[str, frozenset[str]]) -> None:
    """The list that the panels are held against is neither empty nor does it hold just anything."""
    assert own["graftwork_requests_total"] == {"endpoint", "target", "status"}
    assert own["graftwork_adapter_resident"] == {"replica", "version"}
    assert {"vllm:num_requests_running", "vllm:generation_tokens_total"} <= metrics.vllm()
    assert "ray_serve_deployment_replica_healthy" in metrics.ray()
    assert len(metrics.vllm()) > 40
    assert not any(
        name in own or name in metrics.vllm() for name in ("graftwork_nothing", "vllm:x")
    )


def test_objectives_are_counted_in_buckets_that_exist() -> None:
    """An upper bound that no histogram has would count every stream as slow."""
    bounds = set(map(floatToGoString, FIRST_TOKEN_S))
    named = {le for _, text in expressions() for le in re.findall(r'le="([\d.]+)"', text)}
    assert named
    assert named <= bounds


def test_burn_rates_look_at_two_windows_each() -> None:
    """A short one, so that an alert ends with its cause, and a long one, so that it means much."""
    burns = {rule["alert"]: rule["expr"] for rule in rules() if "Burns" in rule.get("alert", "")}
    assert len(burns) == 4
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for text in burns.values():
        pairs = re.findall(r"\(graftwork:\w+:ratio_rate\w+ > .*? and graftwork:\w+ *.*?\)", text)
        assert len(pairs) == 2
        for pair in pairs:
            factors = re.findall(r"> ([\d.]+) \*", pair)
            assert len(factors) == 2
            assert len(set(factors)) == 1
            windows = re.findall(r"(graftwork:\w+:ratio_rate\w+)", pair)
            assert len(set(windows)) == 2
            assert set(windows) <= recorded


def test_every_alert_has_a_runbook() -> None:
    """Its link leads to a heading, and the page has no heading that no alert leads to."""
    headings = set(re.findall(r"^## (Graftwork\w+)$", RUNBOOKS.read_text(), re.MULTILINE))
    alerts = [rule for rule in rules() if "alert" in rule]
    assert headings == {rule["alert"] for rule in alerts}
    for rule in alerts:
        url = rule["annotations"]["runbook_url"]
        assert url.endswith(f"docs/operations/alerts.md#{rule['alert'].lower()}")
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert re.fullmatch(r"\d+m", rule["for"])


def test_what_was_not_there_an_hour_ago_counts_as_none() -> None:
    """Else the first quarantine would be compared with nothing, and nobody told."""
    compared = [r["expr"] for r in rules() if "offset" in r["expr"]]
    assert compared
    for text in compared:
        assert re.search(r"\(max\([^()]* offset \w+\) or vector\(0\)\)", text), text


def _jobs() -> set[str]:
    """Names of all background work: what is given to `PeriodicJobs.add` with a period."""
    found = set()
    for path in [*ROOT.glob("serving/**/*.py"), *ROOT.glob("adapters/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="add"), args=[ast.Constant(value=str(name)), _, _]
                ):
                    found.add(name)
    return found


def test_the_runbook_of_jobs_names_them_all() -> None:
    """And none that is gone."""
    text = RUNBOOKS.read_text()
    section = text.partition("## GraftworkJobFails")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z-]+)`", section.partition("(routers:")[2].partition(")")[0])
    assert set(named) == _jobs()


def test_dashboards_are_whole() -> None:
    """Different ids, panels that do not overlap, and the data source as a variable."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert [path.stem for path in DASHBOARDS] == ["adapters", "costs", "headings", "requests"]
    assert len({board["uid"] for board in boards}) == len(boards)
    for board in boards:
        panels = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
        cells = [
            (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
            for panel in panels
            for dx in range(panel["gridPos"]["w"])
            for dy in range(panel["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24


def test_dashboards_reach_grafana() -> None:
    """One ConfigMap with the label that Grafana's sidecar looks for, small enough for the API."""
    found = find(render("gpu-prod"), "ConfigMap", "graftwork-dashboards")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert sorted(found["data"]) == [path.name for path in DASHBOARDS]
    assert sum(map(len, found["data"].values())) < 900_000


def test_monitors_read_ports_that_exist() -> None:
    """Each selected Pod has the named port; Graftwork's own metrics are read once, with a key."""
    objects = render("gpu-prod")
    monitors = {m["metadata"]["name"]: m["spec"] for m in every(objects, "PodMonitor")}
    selected: dict[str, int] = {}
    for name, spec in monitors.items():
        for labels, group in zip(pod_labels(objects), groups(objects).values(), strict=True):
            if selects(spec["selector"], labels):
                selected[name] = selected.get(name, 0) + 1
                ports = {port["name"] for port in ray_container(group)["ports"]}
                assert {end["port"] for end in spec["podMetricsEndpoints"]} <= ports
    assert selected == {"graftwork": 1, "graftwork-ray": 3}
    credentials = monitors["graftwork"]["podMetricsEndpoints"][0]["authorization"]["credentials"]
    assert credentials["name"] == "graftwork-metrics-key"


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    """Prometheus' own checker, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH")
    spec = yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(spec))
    done = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
