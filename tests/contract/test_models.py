"""``GET /v1/models/{id}``: whatever a request's ``model`` may say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import anthropic
import httpx
import pytest

from tests.contract.client import Pushed, chat, client, error_of
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system


@pytest.fixture(scope="module")
def named(
    tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier
) -> Iterator[httpx.Client]:
    """A system with virtual models; ``frontier`` answers for them."""
    model = {"id": "big", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    provider = {"name": "cloud", "base_url": frontier.openai_url, "models": [model]}
    args = {
        "providers": [provider],
        "models": {"smart": {"targets": ["base"]}, "gpt-4o*": {"targets": ["base"]}},
    }
    with whole_system(tmp_path_factory.mktemp("named"), args) as running, client(running) as http:
        yield http


@pytest.mark.parametrize("name", ["auto", "base", "tiny", "smart", "gpt-4o-mini", "cloud/big"])
def test_what_answers_is_there(named: httpx.Client, name: str) -> None:
    """A client that looks its model up first finds it."""
    found = named.get(f"/v1/models/{name}")
    assert found.status_code == 200, found.text
    assert found.json()["id"] == name
    assert chat(named, name).status_code == 200


def test_a_name_tells_what_it_stands_for(named: httpx.Client) -> None:
    """``root`` is what the list has."""
    assert named.get("/v1/models/gpt-4o-mini").json()["root"] == "gpt-4o*"
    assert named.get("/v1/models/base").json()["root"] == "tiny"


def test_what_does_not_answer_is_not(named: httpx.Client) -> None:
    """404, with a way on."""
    for name in ("nope", "gpt-5", "cloud/nope", "base@123456789012"):
        missing = named.get(f"/v1/models/{name}")
        assert missing.status_code == 404, name
        assert error_of(missing)["code"] == "model_not_found"
        assert "/v1/models" in error_of(missing)["message"]


def test_a_version_by_its_whole_digest(app: httpx.Client, returns: Pushed) -> None:
    """As in requests."""
    found = app.get(f"/v1/models/{returns.alias}@{returns.digest}")
    assert found.status_code == 200, found.text
    assert found.json()["root"] == returns.name


def test_anthropics_sdk_reads_the_list(keyed: System) -> None:
    """Its models have a time where OpenAI's have seconds."""
    sdk = anthropic.Anthropic(base_url=keyed.url, api_key="key-app", max_retries=0)
    models = list(sdk.models.list())
    assert models
    assert all(isinstance(model.created_at, datetime) for model in models)


@pytest.mark.parametrize(("digest", "status"), [("000000000000", 404), ("", 404)])
def test_an_unknown_pin_is_unknown_to_embeddings_too(
    app: httpx.Client, returns: Pushed, digest: str, status: int
) -> None:
    """Whether it could embed is another question."""
    body = {"model": f"{returns.alias}@{digest}", "input": "Hello"}
    answer = app.post("/v1/embeddings", json=body)
    assert answer.status_code == status, answer.text
    assert error_of(answer)["code"] == "model_not_found"
