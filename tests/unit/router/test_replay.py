"""Another configuration against recorded decisions: the same one changes nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from router.choose.replay import replay, summary
from router.config.root import RouterConfig
from serving.cli.main import app
from tests.fakes.deploying import ServeDeploySchema
from tests.fakes.scenes import config_of, drawn, played, stage

ROOT = Path(__file__).resolve().parents[3]
SCENES = 60
MODELS = [
    {"id": name, "input_usd_per_mtok": usd, "output_usd_per_mtok": usd}
    for name, usd in (("big", 10.0), ("small", 1.0))
]


_GIVEN_UP = 499


def router_config(**fields: Any) -> dict[str, Any]:
    """Two models are offered; the base is not good enough."""
    provider = {"name": "cloud", "base_url": "http://127.0.0.1:9/v1", "models": MODELS}
    routing = {"frontiers": ["*"], "routes": {"*": {"risk": 0.15}}}
    return {"providers": [provider], "routing": routing, **fields}


def record(n: int = 0, target: str = "frontier:cloud/small", **fields: Any) -> dict[str, Any]:
    """A decision as the router records it; 1000 tokens in, 500 out."""
    counts = {"input_tokens": 1000, "output_tokens": 500, "cached_input_tokens": None}
    return {
        "id": f"dec_{n}",
        "request_id": f"req_{n}",
        "at": 1000.0 + n,
        "endpoint": "/v1/chat/completions",
        "caller": "web",
        "tenant": "acme",
        "model": "auto",
        "stream": False,
        "intent": {"name": None, "confidence": None},
        "candidates": [{"target": "base", "code": "base"}, {"target": target, "code": "frontier"}],
        "decided": {"how": "ranked", "claims": {}},
        "features": {
            "input_tokens": 1000,
            "max_output_tokens": 600,
            "needs": [],
            "posterior": {},
            "max_cost_usd": None,
            "session": None,
            "base": "tiny",
            "context_window": None,
        },
        "target": target,
        "attempts": [{"target": target, "outcome": "ok", **counts}],
        "usage": counts,
        "cost_usd": 0.0015,
        "status": 200,
        "error": None,
        **fields,
    }


def test_the_same_configuration_changes_nothing(tmp_path: Path) -> None:
    """Over random worlds, what was decided would be decided again, at the same cost."""
    count = 0
    with stage() as (runner, frontier, engine):
        for seed in range(SCENES):
            scene = dataclasses.replace(drawn(seed), faults=[], broken=set(), hedge=False)
            found = runner.run(played(scene, tmp_path / str(seed), frontier, engine))
            config = RouterConfig.model_validate(config_of(scene, frontier))
            # What a busy machine gave up on (499, 5xx) was not decided.
            decided = [record for record in found.records if record["status"] < _GIVEN_UP]
            for each in replay(decided, config):
                assert not each.changed, (seed, each)
                assert each.after_usd == pytest.approx(each.before_usd), (seed, each)
                count += each.after is not None
    assert count > SCENES // 2


def test_a_looser_bound_saves_money() -> None:
    """With a higher tolerated error the free base answers; cost and mix say so."""
    looser = router_config()
    looser["routing"]["routes"]["*"]["risk"] = 0.3
    told = summary(replay([record(n) for n in range(4)], RouterConfig.model_validate(looser)))
    assert (told["decisions"], told["changed"]) == (4, 4)
    assert told["before_usd"] == pytest.approx(0.006)
    assert told["after_usd"] == 0.0
    assert told["targets"] == {
        "base": {"before": 0, "after": 4}, "frontier:cloud/small": {"before": 4, "after": 0}
    }  # fmt: skip
    assert told["moves"] == [{"before": "frontier:cloud/small", "after": "base", "decisions": 4}]
    assert told["intents"]["none"]["changed"] == 4


def test_a_new_price_for_the_same_choice() -> None:
    """An unchanged choice is priced anew, with the tokens that were used."""
    dearer = router_config()
    dearer["providers"] = [
        {**dearer["providers"][0], "models": [{**model, "input_usd_per_mtok": 20.0}
                                              for model in MODELS if model["id"] == "small"]}
    ]  # fmt: skip
    each = replay([record()], RouterConfig.model_validate(dearer))[0]
    assert not each.changed
    assert each.after_usd == pytest.approx(1000 * 20e-6 + 500 * 1e-6)


def test_a_new_policy_refuses() -> None:
    """What would be refused is counted by its reason."""
    rules = [{"name": "nothing leaves", "effect": "deny", "targets": ["*"]}]
    config = RouterConfig.model_validate(router_config(policy={"rules": rules}))
    told = summary(replay([record()], config))
    assert told["refused"] == {"policy_denied": 1}
    assert told["targets"]["(refused)"] == {"before": 0, "after": 1}


def test_adapters_are_replayed_from_what_was_considered() -> None:
    """Claims tell what an adapter is for; one that was cold then is cold now."""
    adapter = "adapter:returns@111111111111"
    fields: dict[str, Any] = {
        "intent": {"name": "returns", "confidence": 1.0},
        "decided": {"claims": {"returns": ["returns"]}},
    }
    codes = {"warm": "intent", "cold": "not_resident"}
    found = {}
    for state, code in codes.items():
        candidates = [{"target": adapter, "code": code}, {"target": "base", "code": "base"}]
        config = RouterConfig.model_validate({"providers": []})
        found[state] = replay([record(candidates=candidates, **fields)], config)[0].after
    assert found == {"warm": adapter, "cold": "base"}


def test_feedback_in_the_records_counts() -> None:
    """A target that was judged badly in the records is not good enough any more."""
    said = {"kind": "boolean", "value": False, "judged": {"target": "frontier:cloud/small"}}
    judged = [
        record(n, feedback=[{**said, "id": f"fb_{n}", "decision_id": f"dec_{n}"}])
        for n in range(30)
    ]
    config = RouterConfig.model_validate(router_config())
    assert {each.after for each in replay(judged, config)} == {"frontier:cloud/big"}


def judged(probability: float, answered: str = "base") -> dict[str, Any]:
    """The base answered, and was judged; somebody else may have been asked after it."""
    counts = {"input_tokens": 1000, "output_tokens": 500, "cached_input_tokens": None}
    calls = [{"target": "base", "outcome": "ok", **counts}]
    if answered != "base":
        calls[0]["outcome"] = "escalated"
        calls.append({"target": answered, "outcome": "ok", **counts})
    told = {"target": "base", "probability": probability}
    return {"assurance": [told], "attempts": calls, "target": answered}


def worth(usd: float, **confidence: Any) -> RouterConfig:
    """A good answer is worth so much, before generation and after it."""
    config = router_config()
    config["routing"]["routes"]["*"] = {"worth_usd": usd, "confidence": confidence}
    return RouterConfig.model_validate(config)


def test_escalation_is_replayed() -> None:
    """By the recorded P: the small model gains 0.9 - P, for 0.0013 USD (1000 in, 283 out)."""
    doubtful = record(**judged(0.2, "frontier:cloud/small"))
    (same,) = replay([doubtful], worth(0.005))
    assert (same.changed, same.after) == (False, "frontier:cloud/small")
    assert same.after_usd == pytest.approx(0.0015)
    (less,) = replay([doubtful], worth(0.0017))
    assert (less.after, less.after_usd) == ("base", 0.0)
    (strict,) = replay([record(**judged(0.85))], worth(0.005, threshold=0.88))
    assert strict.after == "frontier:cloud/small"
    assert strict.changed


def test_what_was_not_judged_is_not_escalated() -> None:
    """Nothing says how sure the answer was."""
    (each,) = replay([record(target="base", attempts=[])], worth(0.005))
    assert each.after == "base"


def test_old_records_are_left_out() -> None:
    """A record without features cannot be decided again."""
    config = RouterConfig.model_validate(router_config())
    assert replay([{"id": "dec_1", "at": 1.0}, record(features={})], config) == []


# The command


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """A deploy file with a looser bound."""
    raw = yaml.safe_load((ROOT / "config" / "local.yaml").read_text())
    config = router_config()
    config["routing"]["routes"]["*"]["risk"] = 0.3
    raw["applications"][0]["args"]["router"] = config
    ServeDeploySchema.model_validate(raw)
    file = tmp_path / "new.yaml"
    file.write_text(yaml.safe_dump(raw))
    return file


@pytest.mark.parametrize("form", ["list", "answer", "lines"])
def test_the_command(tmp_path: Path, deploy: Path, form: str) -> None:
    """From a file in any of its forms, as a table and as JSON."""
    records = [record(n) for n in range(3)]
    text = {
        "list": json.dumps(records),
        "answer": json.dumps({"object": "list", "data": records}),
        "lines": "\n".join(json.dumps(each) for each in records),
    }[form]
    file = tmp_path / "decisions.jsonl"
    file.write_text(text)
    arguments = ["replay", "--config", str(deploy), "--decisions", str(file)]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "3 decisions, 3 changed; cost 0.004500 USD, would be 0.000000 USD" in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert told["changed"] == 3
    assert told["left_out"] == 0


def test_the_command_names_what_is_wrong(tmp_path: Path, deploy: Path) -> None:
    """A bad file is one line and exit code 1."""
    wrong = tmp_path / "wrong"
    for text in ("{", '"text"', "[1]"):
        wrong.write_text(text)
        result = CliRunner().invoke(
            app, ["replay", "--config", str(deploy), "--decisions", str(wrong)]
        )
        assert result.exit_code == 1
        assert len(result.stderr.splitlines()) == 1
    wrong.write_text("applications: 1")
    result = CliRunner().invoke(app, ["replay", "--config", str(wrong)])
    assert result.exit_code == 1
