"""`graftwork doctor` and `graftwork init`: what they find, what they write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from router.config.providers import ProviderConfig
from serving.bringup.edge import free_port
from serving.cli.main import app
from tests.fakes.connect_proxy import connect_proxy
from tests.fakes.deploying import deploy as deploying
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.frontier_bedrock import AccessKey, FakeBedrock
from tests.fakes.frontier_gemini import FakeGemini
from tests.fakes.google_tokens import FakeTokens

PAIR = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SIGNED = f"{PAIR.id}:{PAIR.secret}"
LOCAL = Path(__file__).resolve().parents[3] / "config" / "local.yaml"


def deploy_file(tmp_path: Path, **router: Any) -> Path:
    """The local configuration with a provider, on a port that is free."""
    raw = yaml.safe_load(LOCAL.read_text())
    raw["http_options"]["port"] = free_port()
    args = raw["applications"][0]["args"]
    args["state_dir"] = str(tmp_path / "state")
    args["router"] |= router
    path = tmp_path / "deploy.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def provider(url: str, **more: Any) -> dict[str, Any]:
    """One that has a chat model."""
    price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}
    return {"name": "cloud", "base_url": url, "models": [{"id": "big", **price}], **more}


def run(*arguments: object, said: str = "", environ: Mapping[str, str] | None = None) -> Result:
    """A command as a person would type it, and answer it."""
    return CliRunner(env=environ).invoke(app, [str(each) for each in arguments], input=said)


def findings(result: Result) -> dict[str, dict[str, str]]:
    """What was said as JSON, by what it is about."""
    return {each["what"]: each for each in json.loads(result.stdout)}


def test_a_machine_that_will_do(tmp_path: Path) -> None:
    """Everything is looked at; the provider was asked for one token."""
    with FakeFrontier() as frontier:
        path = deploy_file(tmp_path, providers=[provider(frontier.openai_url)])
        result = run("doctor", "--config", path, "--json")
        assert frontier.requests[0].body["max_tokens"] == 1
    found = findings(result)
    assert result.exit_code == 0, result.output
    assert set(found) >= {"config", "cores", "memory", "disk", "base", "port", "database", "store"}
    assert found["provider cloud"]["grade"] == "ok"
    assert "deploy.yaml" in run("doctor", "--config", path, "--no-calls").stdout


@pytest.mark.parametrize(
    ("fault", "grade", "says"),
    [
        (Fault(Kind.STATUS, status=401), "fail", "does not accept the key"),
        (Fault(Kind.STATUS, status=404), "fail", "404 for big"),
        (Fault(Kind.STATUS, status=429), "warn", "limited"),
        (Fault(Kind.STATUS, status=500), "warn", "500"),
        (Fault(Kind.RESET), "fail", "without an answer: http://127.0.0.1"),
    ],
)
def test_a_provider_that_does_not_answer(
    tmp_path: Path, fault: Fault, grade: str, says: str
) -> None:
    """Each with its remedy, and without a word of the key."""
    with FakeFrontier() as frontier:
        path = deploy_file(
            tmp_path, providers=[provider(frontier.openai_url, api_key_env="CLOUD_KEY")]
        )
        frontier.misbehave(fault)
        environ = {"CLOUD_KEY": "very-secret"}
        result = run("doctor", "--config", path, "--json", environ=environ)
    found = findings(result)["provider cloud"]
    assert (found["grade"], says in found["detail"]) == (grade, True), found
    assert found["remedy"]
    assert result.exit_code == (1 if grade == "fail" else 0)
    assert "very-secret" not in result.output


@pytest.mark.parametrize(("key", "grade"), [(SIGNED, "ok"), ("ABSK-other", "fail")])
def test_a_provider_whose_calls_are_signed(tmp_path: Path, key: str, grade: str) -> None:
    """It is asked as the router asks it: in its own API, below its own path, signed."""
    with FakeBedrock(access_key=PAIR) as bedrock:
        aws = provider(bedrock.url, dialect="bedrock", region="eu-west-1", api_key_env="AWS_KEY")
        path = deploy_file(tmp_path, providers=[aws])
        result = run("doctor", "--config", path, "--json", environ={"AWS_KEY": key})
        assert bedrock.requests[0].path == "/model/big/converse"
    assert findings(result)["provider cloud"]["grade"] == grade, result.output


@pytest.mark.parametrize(("key", "grade"), [("AIzaRight", "ok"), ("AIzaWrong", "fail")])
def test_a_provider_that_says_400_of_a_key(tmp_path: Path, key: str, grade: str) -> None:
    """Google does; what is wrong is the key, and its text stays here."""
    with FakeGemini(api_key="AIzaRight") as gemini:
        google = provider(gemini.url, dialect="gemini", api_key_env="GOOGLE_KEY")
        path = deploy_file(tmp_path, providers=[google])
        result = run("doctor", "--config", path, "--json", environ={"GOOGLE_KEY": key})
        assert gemini.requests[0].path == "/v1beta/models/big:generateContent"
    assert findings(result)["provider cloud"]["grade"] == grade, result.output
    assert key not in result.output


@pytest.mark.parametrize(("status", "grade"), [(200, "ok"), (500, "fail")])
def test_a_provider_with_access_tokens(tmp_path: Path, status: int, grade: str) -> None:
    """One is fetched, and tried."""
    with FakeTokens() as tokens, FakeGemini() as gemini:
        tokens.status, gemini.tokens = status, tokens.valid
        auth = {"service_account_file": str(tokens.account(tmp_path / "account.json"))}
        vertex = provider(gemini.vertex_url, dialect="vertex", google_auth=auth)
        path = deploy_file(tmp_path, providers=[vertex])
        result = run("doctor", "--config", path, "--json")
        assert len(gemini.requests) == (status == 200)
    assert findings(result)["provider cloud"]["grade"] == grade, result.output


def test_prices_of_a_list_are_said_to_be(tmp_path: Path) -> None:
    """With their page and day; when they are old, look them up. Configured ones are not named."""
    with FakeFrontier() as frontier:
        known = {"id": "gpt-5-mini"}
        cloud = provider(frontier.openai_url, vendor="openai")
        path = deploy_file(tmp_path, providers=[{**cloud, "models": [*cloud["models"], known]}])
        found = findings(run("doctor", "--config", path, "--json", "--no-calls"))["prices cloud"]
    assert found["grade"] == "ok"
    assert found["detail"].startswith("of gpt-5-mini: as https://")
    from serving.bringup.doctor import prices_of  # which brings Ray, as the command did

    config = ProviderConfig.model_validate({"name": "a", "vendor": "openai", "models": [known]})
    [old] = prices_of(config, date(2099, 1, 1))
    assert (old.grade.value, "input_usd_per_mtok" in old.remedy) == ("warn", True)


def test_what_is_missing(tmp_path: Path) -> None:
    """A key that is not there, a database that is not, a port that is taken."""
    with FakeFrontier() as frontier:
        raw = yaml.safe_load(deploy_file(tmp_path).read_text())
        raw["http_options"]["port"] = frontier.port
        args = raw["applications"][0]["args"]
        args["router"]["providers"] = [provider("http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY")]
        url = "postgresql+psycopg://graftwork:hidden@127.0.0.1:9/x"
        args["adapters"]["database_url"] = url
        path = tmp_path / "bad.yaml"
        path.write_text(yaml.safe_dump(raw))
        result = run("doctor", "--config", path, "--json")
    found = findings(result)
    assert result.exit_code == 1
    for what in ("port", "database", "provider cloud"):
        assert found[what]["grade"] == "fail", found[what]
    assert "hidden" not in result.output


def test_a_configuration_with_errors(tmp_path: Path) -> None:
    """Named as `graftwork check` names them."""
    path = tmp_path / "deploy.yaml"
    path.write_text("applications: 3")
    result = run("doctor", "--config", path)
    assert result.exit_code == 1
    assert "fail  config" in result.stdout


def test_init_writes_a_file_that_serves(tmp_path: Path) -> None:
    """With all defaults, without a question; never over another file."""
    path = tmp_path / "graftwork.yaml"
    assert run("init", path, "--yes").exit_code == 0
    deploy = deploying.check(yaml.safe_load(path.read_text()), str(path))
    assert deploy.is_local
    assert path.read_text().count("#") > 10
    again = run("init", path, "--yes")
    assert again.exit_code == 1
    assert "--force" in again.stderr
    assert run("init", path, "--yes", "--force").exit_code == 0


def test_init_that_finds_no_room_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever overwrites a file has it until the new one is whole."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "graftwork.yaml"
    path.write_text("mine: 1\n")
    monkeypatch.setattr("adapters.atomic.write_all", full)
    result = run("init", path, "--yes", "--force")
    assert result.exit_code == 1
    assert "No space left" in result.stderr
    assert path.read_text() == "mine: 1\n"


def test_init_asks_five_questions(tmp_path: Path) -> None:
    """A GPU, all addresses, a frontier: a key is made and shown once, its hash is in the file."""
    path = tmp_path / "graftwork.yaml"
    said = "Qwen/Qwen2.5-7B-Instruct\ny\n0.0.0.0\nopenai\ngpt-5-mini\n/var/lib/graftwork\n"
    result = run("init", path, said=said)
    assert result.exit_code == 0, result.output
    key = next(line for line in result.stdout.splitlines() if "shown once" in line).split()[-1]
    assert key not in path.read_text()
    deploy = deploying.check(yaml.safe_load(path.read_text()), str(path))
    assert deploy.host == "0.0.0.0"
    assert [each.name for each in deploy.settings.router.auth.keys] == ["operator"]
    assert deploy.settings.router.auto.frontier == "openai/gpt-5-mini"
    assert deploy.settings.router.providers[0].models[0].input_usd_per_mtok == 0.25
    assert "look them up" not in path.read_text()
    assert "OPENAI_API_KEY" in result.stdout
    for vendor in ("anthropic", "other"):
        more = "https://llm.example/v1\n" if vendor == "other" else ""
        said = f"embedded\nn\n127.0.0.1\n{vendor}\nbig\n{more}.state\n"
        result = run("init", path, "--force", said=said)
        assert result.exit_code == 0, result.output
        assert "look them up" in path.read_text()


def test_init_writes_what_consent_to_capture_is(tmp_path: Path) -> None:
    """A block that only has to lose its comment marks: to consent with keys, to refuse alone."""
    path = tmp_path / "graftwork.yaml"
    for address, consents in (("0.0.0.0", True), ("127.0.0.1", False)):
        said = f"embedded\nn\n{address}\nnone\n.state\n"
        assert run("init", path, "--force", said=said).exit_code == 0
        text = path.read_text()
        assert (
            deploying.check(yaml.safe_load(text), str(path)).settings.router.capture.tenants == {}
        )
        head, mark, rest = text.partition("        # capture:\n")
        block, deployments, tail = rest.partition("    deployments:\n")
        assert mark
        assert deployments
        whole = head + (mark + block).replace("# ", "", block.count("\n") + 1) + deployments + tail
        found = deploying.check(yaml.safe_load(whole), str(path)).settings.router.capture
        assert found.tenants["default"].consent is consents


def test_init_refuses_answers_that_do_not_belong_into_a_file(tmp_path: Path) -> None:
    """Neither quotes nor lines of their own."""
    for said in ('x"\nn\n127.0.0.1\nnone\n.s\n', "embedded\nn\n127.0.0.1\nnobody\n.s\n"):
        path = tmp_path / "graftwork.yaml"
        assert run("init", path, said=said).exit_code == 1
        assert not path.exists()


def test_a_provider_behind_a_proxy(tmp_path: Path) -> None:
    """It is asked as the router will ask it: its address leads somewhere at the proxy only."""
    nowhere = f"127.0.0.1:{free_port()}"
    with FakeFrontier() as frontier, connect_proxy(frontier.port) as proxy:
        cloud = provider(f"http://{nowhere}/v1", egress={"proxy": proxy.url})
        path = deploy_file(tmp_path, providers=[cloud])
        result = run("doctor", "--config", path, "--json")
        assert findings(result)["provider cloud"]["grade"] == "ok", result.output
        assert proxy.asked == [nowhere]
        path = deploy_file(tmp_path, providers=[{**cloud, "egress": {}}])
        found = findings(run("doctor", "--config", path, "--json"))["provider cloud"]
    assert (found["grade"], "egress" in found["remedy"]) == ("fail", True)


def test_a_state_directory_that_will_not_do(tmp_path: Path) -> None:
    """A file in its place, and a database that is none; another one can be named."""
    path = deploy_file(tmp_path)
    (tmp_path / "state").write_text("")
    found = findings(run("doctor", "--config", path, "--json"))
    assert [found[what]["grade"] for what in ("disk", "database")] == ["fail", "fail"]
    assert "--state-dir" in found["disk"]["remedy"]
    other = tmp_path / "other"
    other.mkdir()
    given = ("doctor", "--config", path, "--json", "--state-dir", other)
    assert run(*given).exit_code == 0
    (other / "registry.db").write_text("no database" * 100)
    found = findings(run(*given))
    assert (found["disk"]["grade"], found["database"]["grade"]) == ("ok", "fail")
    assert "graftwork restore" in found["database"]["remedy"]


@pytest.mark.parametrize("date", ["soon", "", "Thu, 99 Xyz 2099 99:99:99 GMT"])
def test_a_date_that_is_none(date: str) -> None:
    """Some proxies send such; that says nothing of the clock."""
    from serving.bringup.doctor import _time_of  # which brings Ray, as the command does

    assert _time_of(date) is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is not said to be edited."""
    result = run("doctor", "--config", tmp_path / "none.yaml")
    assert result.exit_code == 1
    assert "graftwork init" in result.stdout
    assert "Edit" not in result.stdout
