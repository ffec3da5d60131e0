"""The demo's parts: messages, the frontier's stand-in, the expert, the search for canaries."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from serving.demo import canaries, teacher
from serving.demo.desk import canary, messages, with_canary, without_canary
from serving.demo.outside import Asked, Figures, _known
from serving.demo.system import Place, deploy_file
from tests.fakes.deploying import deploy


def test_messages_are_distinct_and_the_same_each_time() -> None:
    """Held-out wordings are none of the traffic's; the teacher is wrong in about a fifth."""
    known, others = messages(400, seed=1), messages(100, seed=2, others=True)
    assert known == messages(400, seed=1)
    assert len({message.text for message in known}) == 400
    assert not {message.text for message in known} & {message.text for message in others}
    wrong = sum(message.taught != message.gold for message in known)
    assert 0.1 < wrong / 400 < 0.3


def test_the_stand_in_speaks_openais_dialect() -> None:
    """Also of a message with an address in it; nonsense is a 400."""
    [first, *_] = known = messages(5, seed=1)
    with teacher.serving(teacher.Teacher(known)) as url, httpx.Client(trust_env=False) as http:
        body = {"messages": [{"role": "user", "content": with_canary(first.prompt, 1)}]}
        answer = http.post(f"{url}/chat/completions", json=body).json()
        assert answer["choices"][0]["message"]["content"] == first.taught
        assert answer["usage"]["total_tokens"] > 0
        assert http.post(f"{url}/chat/completions", content=b"{").status_code == 400


def test_the_expert_reads_what_was_masked() -> None:
    """An address, and a word that looked like a name; a message of nobody is not known."""
    [first, *_] = known = messages(50, seed=1)
    expert = {message.prompt: message.gold for message in known}
    assert _known(expert, with_canary(first.prompt, 1).replace(canary(1), "[EMAIL]")) == first.gold
    assert _known(expert, first.prompt[:-1] + "[PERSON]"[0]) == first.gold
    assert _known(expert, "zzz") is None
    assert without_canary(with_canary("a", 7)) == "a"


def test_canaries_are_found_wherever_they_are(tmp_path: Path) -> None:
    """In binary files too, and across the pieces that are read."""
    (tmp_path / "a.bin").write_bytes(b"\0" * ((1 << 22) - 10) + canary(3).encode() + b"\0")
    (tmp_path / "b.json").write_text(json.dumps([canary(1), canary(2)]))
    (tmp_path / "c").write_text("canary-of-nothing")
    assert canaries.in_files(tmp_path) == {"a.bin": 1, "b.json": 2}
    assert canaries.in_answers(lambda prompt, _: prompt, range(3)) == 0
    assert canaries.in_answers(lambda prompt, _: prompt + canary(1), range(3)) == 3


def test_figures() -> None:
    """What some answers come to."""
    first, second = messages(2, seed=1)
    found = Figures.of(
        [
            Asked(first, first.gold, "frontier:cloud/expert", 0.002, 0.2),
            Asked(second, "Desk: NONE", "adapter:triage@0", 0.0, 0.1),
        ]
    )
    assert (found.share_local, found.accuracy, found.usd_per_1000) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize("base", ["embedded", "smollm2"])
def test_the_deploy_file_is_whole(tmp_path: Path, base: str) -> None:
    """For both bases: a frontier, a gate, and a state of its own."""
    file = deploy_file(Place(tmp_path, 8001, base), "http://127.0.0.1:1/v1", 0.3, 0.1)
    settings = deploy.load(file).settings
    route = settings.flywheel.routes["triage"]
    assert route.gate is not None
    assert settings.state_dir == tmp_path / "state"
    assert settings.router.providers[0].models[0].input_usd_per_mtok == 3.0
