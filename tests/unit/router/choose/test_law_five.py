"""Law 5, through the whole router and real HTTP: nothing reaches a target that is excluded.

Policies, cards, needs, residency and faults are drawn at random; the world answers as badly as it
likes. What was called is read from the stand-ins' own books, and compared with a second, plainer
statement of who may be asked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import httpx
import orjson

from router.policy.load import load
from tests.fakes.engine import FakeEngine
from tests.fakes.exchanges import BASE_ID
from tests.fakes.frontier import FakeFrontier
from tests.fakes.scenes import ADAPTERS, LARGE, MODELS, Scene, drawn, played, stage

SCENES = 100
TARGETS = ("base", *(f"adapter:{a}" for a in ADAPTERS), *(f"frontier:cloud/{m}" for m in MODELS))


# Who may be asked, said a second time


def _covers(patterns: list[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _applies(scene: Scene, rule: dict[str, Any], target: str, regions: list[str]) -> bool:
    if not _covers(rule.get("targets", ["*"]), target):
        return False
    if not _covers(rule.get("tenants", ["*"]), scene.tenant):
        return False
    deny = rule["effect"] == "deny"
    for inside, wanted in ((True, rule.get("regions")), (False, rule.get("outside_regions"))):
        if wanted is None:
            continue
        hits = [(region in wanted) is inside for region in regions]
        if not (any(hits) or not hits if deny else hits and all(hits)):
            return False
    return True


def may_be_asked(scene: Scene, target: str) -> bool:
    """Whether the request may reach the target at all."""
    model = target.rpartition("/")[2] if target.startswith("frontier:") else None
    card = scene.cards[model] if model else None
    regions = card["regions"] if card else scene.local_regions
    effects = [r["effect"] for r in scene.rules if _applies(scene, r, target, regions)]
    if "deny" in effects or ("allow" not in effects and scene.default == "deny"):
        return False
    if card and not _covers(card["tenants"], scene.tenant):
        return False
    if target.startswith("adapter:") and target.removeprefix("adapter:") not in scene.resident:
        return False
    if card and card["price"] > 0 and scene.max_cost_usd == 1e-6:
        return False
    if _is_named(scene, target):
        return True
    return _is_a_candidate(scene, target, model) and _fits(scene, card)


def _is_named(scene: Scene, target: str) -> bool:
    if scene.model == "returns":
        return target.startswith("adapter:")
    return target in (scene.model, f"frontier:{scene.model}")


def _is_a_candidate(scene: Scene, target: str, model: str | None) -> bool:
    if scene.model == "auto":
        if target.startswith("adapter:"):
            return scene.intent
        offered = _covers(scene.offered, f"cloud/{model}") or model == scene.last_resort
        return model is None or offered
    return scene.model == "returns" and model in (None, scene.last_resort)


def _fits(scene: Scene, card: dict[str, Any] | None) -> bool:
    features = card["features"] if card else scene.local_features
    window = card["window"] if card else scene.local_window
    if card and scene.endpoint not in card["endpoints"]:
        return False
    needs = scene.needs if scene.endpoint == "chat" else scene.needs - {"vision"}
    return needs <= features and (not scene.long or window == LARGE)


def called(frontier: FakeFrontier, engine: FakeEngine) -> set[str]:
    """The targets that somebody called, by their own books."""
    local = {"base" if name == BASE_ID else f"adapter:{name}" for name in engine.asked()}
    return local | {f"frontier:cloud/{request.body['model']}" for request in frontier.requests}


def test_no_request_reaches_who_is_excluded(tmp_path: Path) -> None:
    """First choice, retry, fallback, hedge, rescue and escalation obey one filter (law 5)."""
    seen: Counter[str] = Counter()
    with stage() as (runner, frontier, engine):
        for seed in range(SCENES):
            scene = drawn(seed)
            found = runner.run(played(scene, tmp_path / str(seed), frontier, engine))
            responses, told = found.responses, found.told
            reached = called(frontier, engine)
            permitted = {target for target in TARGETS if may_be_asked(scene, target)}
            assert reached <= permitted, (seed, reached - permitted, told)
            statuses = {response.status_code for response in responses}
            for response in responses:
                _is_well_formed(response)
            if told.get("status") == 403:
                assert statuses == {403}, seed
                assert not reached, seed
            if not permitted:
                assert 200 not in statuses, seed
            seen["answered"] += 200 in statuses
            seen["more than one asked"] += len(reached) > 1
            seen["somebody excluded"] += len(permitted) < len(TARGETS)
    # The worlds are neither too kind nor too hostile to show anything.
    assert min(seen.values()) > SCENES // 8, seen
    assert seen["answered"] > SCENES // 3, seen


# The same rules, in a rules file

REQUIRED: tuple[list[str], ...] = ([], ["base", "adapter:*"], ["frontier:*"], ["*m1", "base"])


def _among(names: list[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _condition(rule: dict[str, Any]) -> str:
    parts = []
    if targets := rule.get("targets"):
        globs = "|".join(each.replace("*", ".*") for each in targets)
        parts.append(f'target.name.matches("^({globs})$")')
    if (tenants := rule.get("tenants", ["*"])) != ["*"]:
        parts.append(f"tenant in {_among(tenants)}")
    for name, test in (("regions", "r in {}"), ("outside_regions", "!(r in {})")):
        if name in rule:
            one = test.format(_among(rule[name]))
            parts.append(f"(size(target.regions) == 0 || target.regions.exists(r, {one}))")
    return " && ".join([*parts, 'target.name != ""'])


def _rules_file(scene: Scene, required: list[str]) -> bytes:
    rules: list[dict[str, Any]] = [
        {"id": f"r{n}", "when": _condition(rule), "deny": "no"}
        for n, rule in enumerate(scene.rules)
    ]
    if required:
        rules.append({"id": "required", "require": {"targets": required}})
    return orjson.dumps({"rules": rules})


def test_no_request_reaches_who_a_rules_file_excludes(tmp_path: Path) -> None:
    """What holds for the configuration's rules holds for the rules file's (law 5)."""
    seen: Counter[str] = Counter()
    with stage() as (runner, frontier, engine):
        for seed in range(1000, 1000 + SCENES // 2):
            drawn_ = drawn(seed)
            denials = [rule for rule in drawn_.rules if rule["effect"] == "deny"]
            scene = replace(drawn_, default="allow", rules=denials)
            required = REQUIRED[seed % len(REQUIRED)]
            rules = load(_rules_file(scene, required))
            bare = replace(scene, rules=[])
            state = tmp_path / str(seed)
            found = runner.run(played(bare, state, frontier, engine, rules))
            reached = called(frontier, engine)
            permitted = {
                target
                for target in TARGETS
                if may_be_asked(scene, target) and (not required or _covers(required, target))
            }
            assert reached <= permitted, (seed, reached - permitted, found.told)
            statuses = {response.status_code for response in found.responses}
            if not permitted:
                assert 200 not in statuses, seed
            seen["answered"] += 200 in statuses
            seen["somebody excluded"] += len(permitted) < len(TARGETS)
    assert min(seen.values()) > SCENES // 16, seen


def _is_well_formed(response: httpx.Response) -> None:
    if response.status_code != 200:
        assert response.json()["error"]["message"]
        assert response.status_code in {400, 401, 403, 413, 422, 429, 502, 503, 504}
    assert response.headers["x-graftwork-decision-id"]
