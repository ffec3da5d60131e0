"""`make bench-gpu` without a card: it says so, keeps what it measured, makes what it serves."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import tarfile
import threading
from pathlib import Path

import pytest

from adapters.format.base_model import read_base
from adapters.format.preflight import PreflightLimits, preflight
from benchmarks.gpu import parts, results, scale
from benchmarks.gpu.__main__ import _one, main
from benchmarks.gpu.shape import NOTHING, adapter_tar, base_of
from benchmarks.gpu.system import Ground, deploy_file
from benchmarks.processes import Ended, ended_by_signals
from tests.fakes.deploying import deploy

ROOT = Path(__file__).parents[3]
CARD = "NVIDIA H100 80GB HBM3"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the smallest shape."""
    return base_of(tmp_path_factory.mktemp("base") / "base-tiny", "tiny")


def measured(part: str, figure: str, card: str = CARD) -> results.Result:
    """One part with one figure."""
    return results.result(card, "7B", part, {"tokens/s": figure})


def test_without_a_card_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the remedy named, nothing written."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "no CUDA here" in said
    assert "--cpu" in said
    assert not (tmp_path / "out").exists()


async def test_a_part_that_is_cut_off_ends_what_it_started() -> None:
    """Its time is over while a thread trains: the training is given up, and ends before it."""
    begun, given_up, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert given_up.wait(60)
        ended.set()

    part = asyncio.create_task(parts.in_thread(work, given_up.set))
    await asyncio.to_thread(begun.wait, 10)
    part.cancel()
    with pytest.raises(asyncio.CancelledError):
        await part
    assert ended.is_set()


async def test_a_part_that_ends_by_itself_gives_nothing_up() -> None:
    """What the thread returned comes back."""
    given_up = threading.Event()
    assert await parts.in_thread(lambda: 7, given_up.set) == 7
    assert not given_up.is_set()


def test_a_signal_is_no_failed_part(tmp_path: Path) -> None:
    """SIGTERM ends the whole of it: no part after the one that it met is begun."""
    kept = results.Kept(tmp_path)

    async def ended(_bench: parts.Bench) -> dict[str, str]:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(10)
        return {}

    given = argparse.Namespace(limit_s=10.0, out=tmp_path)
    with ended_by_signals(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(parts.PARTS, "swap", ended)
        ground = Ground(tmp_path, scale.on_the_cpu(), 0.5)
        with pytest.raises(Ended) as stopped:
            _one(
                "swap", "http://127.0.0.1:1", ground, (scale.on_the_cpu(), "embedded"), given, kept
            )
    assert stopped.value.code == 143


@pytest.mark.parametrize(
    ("script", "found"),
    [(f'echo "{CARD}"; echo "{CARD}"', CARD), ("echo; exit 0", None), ("exit 9", None)],
)
def test_the_card_is_called_as_the_driver_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: str | None
) -> None:
    """The first of them; a driver that does not answer is none."""
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert scale.card() == found


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are."""
    with pytest.raises(SystemExit) as refused:
        main(["--cpu", "swap", "sawp"])
    assert refused.value.code == 2
    assert "sawp" in capsys.readouterr().err


def test_what_is_kept_is_not_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All asked parts are there: nothing is started, the rows are printed."""
    kept = results.Kept(tmp_path / "parts")
    for part in ("noise", "k"):
        kept.put(results.result(scale.on_the_cpu().card, "embedded", part, {"figure": "7"}))
    assert main(["--cpu", "noise", "k", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "noise: measured already" in said
    assert said.count("| no card (CPU) | embedded |") == 2


def test_parts_of_several_calls_and_cards_come_together(tmp_path: Path) -> None:
    """Each by card, base and part; a newer one replaces its older one."""
    kept = results.Kept(tmp_path)
    for result in (measured("swap", "1"), measured("k", "2"), measured("k", "3", "NVIDIA H200")):
        kept.put(result)
    kept.put(measured("swap", "4"))
    assert {(each.card, each.part, each.figures["tokens/s"]) for each in kept.all()} == {
        (CARD, "swap", "4"),
        (CARD, "k", "2"),
        ("NVIDIA H200", "k", "3"),
    }
    assert kept.has(CARD, "7B", "swap")
    assert not kept.has(CARD, "1.5B", "swap")


def test_rows_go_into_the_results_once(tmp_path: Path) -> None:
    """Again writes the same; another machine's rows and all other text stay."""
    path = tmp_path / "RESULTS.md"
    path.write_text("# Results\n\nWords.\n")
    results.write_into(path, [measured("swap", "1"), measured("k", "2")])
    once = path.read_text()
    assert once.startswith("# Results\n\nWords.\n\n## On a card\n")
    results.write_into(path, [measured("swap", "1"), measured("k", "2")])
    assert path.read_text() == once
    path.write_text(once + "\n## After\n")
    results.write_into(path, [measured("k", "9", "NVIDIA H200"), measured("swap", "5")])
    text = path.read_text()
    assert text.endswith("\n## After\n")
    rows = [line for line in text.splitlines() if "| 7B |" in line]
    assert [(row.split(" | ")[0], row.split(" | ")[4]) for row in rows] == [
        ("| NVIDIA H200", "9"),
        (f"| {CARD}", "5"),
        (f"| {CARD}", "2"),
    ]


def test_the_results_that_ship_take_rows(tmp_path: Path) -> None:
    """Wherever their own section is, nothing of theirs is lost."""
    path = tmp_path / "RESULTS.md"
    shipped = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    path.write_text(shipped)
    results.write_into(path, [measured("swap", "1")])
    assert set(shipped.splitlines()) <= set(path.read_text().splitlines())


def test_each_id_of_the_base_has_a_text(base: Path) -> None:
    """Random weights choose any of them, and vLLM has to say it."""
    config = json.loads((base / "config.json").read_text())
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    ids = {*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])}
    assert set(range(config["vocab_size"])) <= ids


@pytest.mark.parametrize("strength", [1.0, NOTHING])
def test_adapters_of_a_shape_pass_preflight(base: Path, tmp_path: Path, strength: float) -> None:
    """All linears, rank 16, bf16; the one that does almost nothing is for the probe to find."""
    with tarfile.open(fileobj=io.BytesIO(adapter_tar(base, 1, strength))) as archive:
        archive.extractall(tmp_path, filter="data")
    facts = read_base(base, base.name)
    report = preflight(tmp_path, facts, PreflightLimits(), alias="bench")
    assert report.ok, report.failed


@pytest.mark.parametrize("on_a_card", [True, False])
def test_what_is_served_is_a_valid_deploy_file(base: Path, on_a_card: bool) -> None:
    """One replica, on loopback, without keys, and room for the adapters side by side."""
    size = scale.on_a_card(CARD, "7B") if on_a_card else scale.on_the_cpu()
    loaded = deploy.check(deploy_file(size, base, 0.45), "bench.yaml")
    assert loaded.host == "127.0.0.1"
    assert loaded.settings.engine.max_loras >= size.adapters
    assert not loaded.settings.router.auth.keys
    if on_a_card:
        assert loaded.settings.engine.vllm["gpu_memory_utilization"] == 0.45
        assert loaded.settings.base.model == str(base)
