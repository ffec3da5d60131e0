"""The deploy file: both shipped ones load, and every mistake is named by its field."""

from __future__ import annotations

import contextlib
import copy
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from router.admit.keys import hash_key
from router.config.governance import BESIDES, PERSONAL, SECRETS
from router.config.root import RouterConfig
from router.govern.detect.names.tagger import ENTITIES
from serving.cli.main import app
from serving.config.reading import read_yaml
from serving.config.settings import Settings
from tests.fakes.deploying import ServeDeploySchema, deploy

CONFIG = Path(__file__).resolve().parents[3] / "config"
FILES = [CONFIG / "local.yaml", CONFIG / "smollm2.yaml", CONFIG / "gpu.yaml"]
ARGS = "applications.0.args"
KEY = {"name": "me", "sha256": hash_key("gw-key")}


def local(**changes: Any) -> dict[str, Any]:
    """The content of local.yaml with dotted fields changed; ``__`` stands for a dot."""
    raw: dict[str, Any] = yaml.safe_load(FILES[0].read_text())
    for field, value in changes.items():
        put(raw, field.split("__"), value)
    return raw


def put(raw: Any, field: list[str], value: Any) -> None:
    """Set one field, making the mappings on the way."""
    *parents, last = field
    for name in parents:
        raw = raw[int(name)] if isinstance(raw, list) else raw.setdefault(name, {})
    if isinstance(raw, list):
        raw[int(last)] = value
    else:
        raw[last] = value


def problems(raw: dict[str, Any]) -> list[str]:
    """Every problem of a file."""
    with pytest.raises(deploy.ConfigError) as refused:
        deploy.check(raw, "test.yaml")
    return refused.value.problems


# What is shipped


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_commented_out_holds_when_it_is_not(file: Path) -> None:
    """Examples in comments are as valid as the rest."""
    lines = file.read_text().splitlines()
    fields = [*Settings.model_fields, *RouterConfig.model_fields]
    begins = re.compile(rf" *# (?:{'|'.join(fields)}):")
    shown: list[str] = []
    depth = -1
    for line in lines:
        indent, _, rest = line.partition("# ")
        goes_on = depth >= 0 and line.startswith(f"{' ' * depth}#   ")
        depth = len(indent) if goes_on or begins.match(line) else -1
        shown.append(line if depth < 0 else indent + rest)
    assert file.name == "smollm2.yaml" or shown != lines
    raw = yaml.safe_load("\n".join(shown))
    deploy.check(raw, file.name)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_shipped_files_load(file: Path) -> None:
    """Both shipped files are valid, for us and for Ray Serve's own schema."""
    loaded = deploy.load(file)
    schema = ServeDeploySchema.model_validate(loaded.raw)
    names = {each.name for each in schema.applications[0].deployments}
    assert names == {"engine", "router", "registry"}
    assert schema.http_options.host == loaded.host
    assert schema.http_options.port == loaded.port == 8000


def test_local_is_local_and_gpu_is_not() -> None:
    """The local file listens on loopback without keys; the cluster's has keys (law 11)."""
    home, small, cluster = (deploy.load(file) for file in FILES)
    assert home.is_local
    assert not home.settings.router.auth.keys
    assert small.is_local
    assert not cluster.is_local
    assert cluster.settings.router.auth.keys


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_adapters_get_the_engines_limits(file: Path) -> None:
    """Preflight refuses what the engine could not load, and no replica is asked to hold more."""
    settings = deploy.load(file).settings
    here = settings.adapters_here()
    assert here.preflight.max_lora_rank == settings.engine.max_lora_rank
    assert here.rollout.capacity == settings.engine.max_cpu_loras


# Every setting is explained


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every pydantic model inside an annotation."""
    inner = get_args(annotation)
    if not inner and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in inner:
        yield from models_of(each)


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Each setting below a model by its dotted name, and whether somebody explained it."""
    for name, field in model.model_fields.items():
        nested = list(models_of(field.annotation))
        explained = bool(field.description) or any((each.__doc__ or "").strip() for each in nested)
        yield prefix + name, explained or _has_docstring(model, name)
        for each in nested:
            yield from settings_of(each, f"{prefix}{name}.")


def _has_docstring(model: type[BaseModel], name: str) -> bool:
    """Whether a string stands below the field, as in ``adapters.format.preflight``."""
    lines = inspect.getsource(model).splitlines()
    at = next((n for n, line in enumerate(lines) if line.strip().startswith(f"{name}:")), None)
    return at is not None and at + 1 < len(lines) and lines[at + 1].strip().startswith('"""')


def test_every_setting_is_explained() -> None:
    """Each setting has a description, or is a section whose model has one."""
    listed = list(settings_of(Settings))
    assert len(listed) > 80
    assert [name for name, explained in listed if not explained] == []


# Mistakes


@pytest.mark.parametrize(
    "field",
    [
        "surprise",
        "http_options.surprise",
        "applications.0.surprise",
        "applications.0.deployments.0.surprise",
        "applications.0.deployments.0.autoscaling_config.surprise",
        f"{ARGS}.surprise",
        f"{ARGS}.base.surprise",
        f"{ARGS}.engine.surprise",
        f"{ARGS}.adapters.surprise",
        f"{ARGS}.adapters.watch.surprise",
        f"{ARGS}.adapters.push.archive.surprise",
        f"{ARGS}.adapters.preflight.header.surprise",
        f"{ARGS}.router.surprise",
        f"{ARGS}.router.auth.surprise",
        f"{ARGS}.router.auto.intents.0.surprise",
        f"{ARGS}.router.limits.surprise",
        f"{ARGS}.log.surprise",
        f"{ARGS}.network.surprise",
    ],
)
def test_unknown_keys_are_named(field: str) -> None:
    """A misspelt key is never ignored, at any level, ours or Ray Serve's."""
    raw = local()
    put(raw, field.split("."), 1)
    found = problems(raw)
    assert any(problem.startswith(f"{field}:") for problem in found), found


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"http_options__port": "many"}, "http_options.port: "),
        ({"applications__0__name": "other"}, "applications.0.name: "),
        ({"applications__0__import_path": "os:system"}, "applications.0.import_path: "),
        ({"applications__0__deployments__0__name": "rooter"}, "applications.0.deployments.0.name"),
        ({"applications__0__deployments__2__num_replicas": 2}, "single writer"),
        ({"applications__0__args__engine__max_lora_rank": 17}, "max_lora_rank must be one of"),
        ({"applications__0__args__engine__max_loras": 99}, "max_cpu_loras (32) must be"),
        ({"applications__0__args__engine__max_loras": 0}, f"{ARGS}.engine.max_loras: "),
        ({"applications__0__args__engine__vllm__model": "x"}, "vllm must not set ['model']"),
        (
            {"applications__0__args__engine__vllm__specialize_active_lora": True},
            "the last adapter's requests are answered by the base",
        ),
        ({"applications__0__args__router__auto__threshold": 2}, f"{ARGS}.router.auto.threshold: "),
        ({"applications__0__args__router__auto__frontier": "a/b"}, "auto.frontier names 'a/b'"),
        ({"applications__0__args__log__level": "loud"}, f"{ARGS}.log.level: "),
        ({"applications__0__args__adapters__rollout__quorum": 0}, "adapters.rollout.quorum: "),
        (
            {"applications__0__args__adapters__staging": {"max_versions": 32}},
            "must be more than engine.max_cpu_loras",
        ),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], named: str) -> None:
    """A wrong value is refused with the field's name."""
    found = problems(local(**changes))
    assert any(named in problem for problem in found), found


def test_every_problem_at_once() -> None:
    """All mistakes are told together, not one per try."""
    found = problems(
        local(
            surprise=1,
            applications__0__name="other",
            applications__0__args__log__level="loud",
            applications__0__args__engine__max_loras=0,
        )
    )
    assert len(found) >= 4


def test_exactly_one_application() -> None:
    """None, two, or something else in place of the application is refused."""
    two = local()
    two["applications"].append(copy.deepcopy(two["applications"][0]))
    for raw in (two, local(applications=[]), local(applications=None), local(applications="x")):
        assert any(problem.startswith("applications") for problem in problems(raw))
    assert problems(local(applications=["x"]))


@pytest.mark.parametrize("value", [None, [], "text", 7])
@pytest.mark.parametrize("field", ["http_options", f"{ARGS}", "applications.0.deployments.0"])
def test_wrong_shapes_are_refused(field: str, value: Any) -> None:
    """A section of another shape is a problem to explain, never an exception of another kind."""
    raw = local()
    put(raw, field.split("."), value)
    with contextlib.suppress(deploy.ConfigError):
        deploy.check(raw, "test.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "is not YAML"),
        (b"- a", "must be a mapping"),
        (b"", "must be a mapping"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, said: str) -> None:
    """A file that cannot be read or parsed says so in one line."""
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(deploy.ConfigError) as refused:
        deploy.load(file)
    assert len(refused.value.problems) == 1
    assert said in refused.value.problems[0]
    with pytest.raises(deploy.ConfigError, match="cannot be read: No such file"):
        deploy.load(tmp_path / "absent.yaml")


# Law 11


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org", ""])
def test_other_addresses_need_keys(host: str) -> None:
    """Without keys an address that others reach is refused, naming both fields (law 11)."""
    (problem,) = problems(local(http_options__host=host))
    assert problem.startswith("http_options.host: refuses to listen on")
    assert f"{ARGS}.router.auth.keys" in problem


def test_the_address_must_be_said() -> None:
    """Ray Serve's default depends on its environment, so no address is no answer (law 11)."""
    raw = local()
    del raw["http_options"]["host"]
    assert problems(raw)[0].startswith("http_options.host: must be given")
    del raw["http_options"]
    assert problems(raw)[0].startswith("http_options.host: must be given")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_no_keys(host: str) -> None:
    """On loopback it runs without keys."""
    assert deploy.check(local(http_options__host=host), "test.yaml").is_local


def test_keys_open_other_addresses(tmp_path: Path) -> None:
    """Keys in the file, or in a keys file of YAML or JSON, permit any address."""
    raw = local(http_options__host="0.0.0.0")
    put(raw, f"{ARGS}.router.auth.keys".split("."), [KEY])
    assert not deploy.check(raw, "test.yaml").is_local
    for name in ("keys.yaml", "keys.json"):
        file = tmp_path / name
        file.write_text(f'[{{"name": "me", "sha256": "{KEY["sha256"]}"}}]')
        raw = local(http_options__host="0.0.0.0")
        put(raw, f"{ARGS}.router.auth.keys_file".split("."), str(file))
        assert not deploy.check(raw, "test.yaml").is_local


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("keys.yaml", "a: 1"),
        ("keys.yaml", "[{name: me}]"),
        ("keys.yaml", "[{name: me, sha256: short}]"),
        ("keys.yaml", "a: ["),
        ("keys.json", "{"),
        ("keys.yaml", f"[{{name: me, sha256: {'a' * 64}}}, {{name: me, sha256: {'b' * 64}}}]"),
        ("keys.yaml", "\x00"),
    ],
)
def test_a_broken_keys_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    """A keys file that cannot be used stops the start, naming the field, also on loopback."""
    file = tmp_path / name
    file.write_text(content)
    raw = local()
    put(raw, f"{ARGS}.router.auth.keys_file".split("."), str(file))
    assert any(p.startswith(f"{ARGS}.router.auth.keys_file") for p in problems(raw))


def test_a_missing_keys_file_is_refused(tmp_path: Path) -> None:
    """An absent keys file does not mean no keys."""
    raw = local()
    put(raw, f"{ARGS}.router.auth.keys_file".split("."), str(tmp_path / "absent.yaml"))
    assert any("keys_file" in problem for problem in problems(raw))


def test_an_empty_keys_file_is_no_key(tmp_path: Path) -> None:
    """A keys file without keys does not open other addresses (law 11)."""
    file = tmp_path / "keys.json"
    file.write_text("[]")
    raw = local(http_options__host="0.0.0.0")
    put(raw, f"{ARGS}.router.auth.keys_file".split("."), str(file))
    assert "holds no key" in problems(raw)[0]


# The command


def test_check_explains_a_file(tmp_path: Path) -> None:
    """`graftwork check` accepts the shipped files, and names the fields at fault in a bad one."""
    for file in FILES:
        assert CliRunner().invoke(app, ["check", str(file)]).exit_code == 0
    bad = tmp_path / "bad.yaml"
    bad.write_text(FILES[0].read_text().replace("max_lora_rank: 16", "max_lora_rank: 17"))
    result = CliRunner().invoke(app, ["check", str(bad)])
    assert result.exit_code == 1
    *lines, last = result.stderr.splitlines()
    assert any(line.startswith(f"{ARGS}.engine") and "max_lora_rank" in line for line in lines)
    assert last == f"{bad}: {len(lines)} problem(s)"


def test_overrides_are_checked(tmp_path: Path) -> None:
    """What the command line sets passes the same checks, also over a section that is not there."""
    assert deploy.load(FILES[0], {"http_options.port": 9}).port == 9
    assert deploy.load(FILES[0], {f"{ARGS}.base.id": "x"}).settings.base.id == "x"
    with pytest.raises(deploy.ConfigError, match="refuses to listen"):
        deploy.load(FILES[0], {"http_options.host": "0.0.0.0"})
    bare = tmp_path / "bare.yaml"
    for content in ("applications: []", "applications:", "applications: 3", "http_options: 3"):
        bare.write_text(content)
        with pytest.raises(deploy.ConfigError):
            deploy.load(bare, {"http_options.port": 9, f"{ARGS}.base.id": "x"})


def test_sqlite_on_storage_that_nodes_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts, with the field's name and the remedy."""
    monkeypatch.setattr(deploy, "shared_file_system", lambda _: "nfs4")
    with pytest.raises(deploy.ConfigError) as refused:
        deploy.load(CONFIG / "local.yaml")
    (problem,) = refused.value.problems
    assert problem.startswith("applications.0.args.adapters.database_url: SQLite on nfs4")
    server = {"applications.0.args.adapters.database_url": "postgresql+psycopg://u@h/d"}
    assert deploy.load(CONFIG / "local.yaml", server).notes == []


def test_sqlite_behind_several_nodes_is_noted() -> None:
    """It serves; a registry that moves to another node would not find it."""
    (note,) = deploy.load(CONFIG / "gpu.yaml").notes
    assert "postgresql" in note
    found = CliRunner().invoke(app, ["check", str(CONFIG / "gpu.yaml")])
    assert (found.exit_code, "note: " in found.output) == (0, True)
    assert deploy.load(CONFIG / "local.yaml").notes == []


def test_a_kind_of_data_that_nobody_looks_for_is_noted() -> None:
    """A rule about EMIAL blocks nothing; globs, own patterns and other words for a kind do."""
    kinds = ["EMIAL", "EMAIL_ADDRESS", "ORDER_*", "LOC*", "SECRET", "TELEFAX*"]
    pii: dict[str, Any] = {
        "rules": [{"entities": kinds, "action": "block"}],
        "patterns": {"order_id": "F[0-9]{4}"},
    }
    where = "applications.0.args.router.governance"
    (note,) = deploy.load(CONFIG / "local.yaml", {where: {"pii": pii}}).notes
    assert "nobody looks for EMIAL, TELEFAX*, so" in note
    pii["names"] = "gliner:/models/own"
    assert deploy.load(CONFIG / "local.yaml", {where: {"pii": pii}}).notes == []


def test_every_kind_that_is_documented_is_known() -> None:
    """And every kind that the packaged model finds."""
    page = (CONFIG.parent / "docs" / "governance.md").read_text(encoding="utf-8")
    assert all(f"`{kind}`" in page for kind in (*PERSONAL, *BESIDES, *SECRETS))
    assert {*ENTITIES} <= {*PERSONAL, *BESIDES}


def test_the_shipped_files_keep_sqlite_off_shared_storage() -> None:
    """What nodes share in the GPU example is the store and the content, and nothing else."""
    for file in FILES:
        found = deploy.load(file).settings
        assert deploy.sqlite_file(found) == found.state_dir.absolute() / "registry.db"


# Whatever stands in it, the file is explained


@pytest.mark.parametrize(
    "wrong",
    [
        {"http_options": {"host": []}},
        {"applications__0__deployments": 5},
        {"applications__0__deployments__0__name": []},
        {
            "applications__0__deployments__1__autoscaling_config": {
                "min_replicas": 1,
                "max_replicas": 2,
                "policy": {"policy_function": "no_such_module:choose"},
            }
        },
    ],
    ids=str,
)
def test_odd_shapes_are_problems(wrong: dict[str, Any]) -> None:
    """Also where Ray Serve's own validators trip, and what they import is not there."""
    assert problems(local(**wrong))


@pytest.mark.parametrize("raw", [None, [], "text", 5])
def test_what_is_no_mapping_is_said_to_be_none(raw: Any) -> None:
    """With what makes one."""
    with pytest.raises(deploy.ConfigError, match="graftwork init"):
        deploy.check(raw, "test.yaml")


def test_a_file_that_is_not_there_has_a_remedy(tmp_path: Path) -> None:
    """Whoever runs a command outside the source has no config/local.yaml."""
    with pytest.raises(deploy.ConfigError, match=r"--config.*graftwork init"):
        deploy.load(tmp_path / "local.yaml")


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """The first would be dropped with all that is below it: here, with the keys."""
    text = FILES[0].read_text()
    twice = text.replace("      router:\n", "      router:\n        auth: {keys: []}\n", 1)
    twice = twice.replace("        auto:\n", "        auth: {keys: []}\n        auto:\n", 1)
    file = tmp_path / "twice.yaml"
    file.write_text(twice)
    line = len(twice[: twice.rindex("auth: {keys")].splitlines())
    with pytest.raises(deploy.ConfigError, match=f"line {line}: 'auth' stands there twice"):
        deploy.load(file)


def test_what_is_merged_in_may_be_said_again(tmp_path: Path) -> None:
    """That is what YAML's `<<` is for, at any depth."""
    file = tmp_path / "merged.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\n")
    assert read_yaml(file)["c"] == {"x": 3, "y": 4}


def test_no_nesting_is_too_deep_for_an_answer(tmp_path: Path) -> None:
    """It is refused, not tripped over."""
    file = tmp_path / "deep.yaml"
    file.write_text("[" * 20_000)
    with pytest.raises(deploy.ConfigError):
        deploy.load(file)


@pytest.mark.parametrize(
    "wrong",
    [
        {f"{ARGS}.router.auth.keys".replace(".", "__"): [{"name": "me", "sha256": "gw-secret"}]},
        {f"{ARGS}.router.providers".replace(".", "__"): [{"name": "a", "api_key": "gw-secret"}]},
        {f"{ARGS}.router".replace(".", "__"): {"token": "gw-secret"}},
    ],
    ids=["for a hash", "an unknown field", "of a section"],
)
def test_what_may_be_a_secret_is_not_repeated(wrong: dict[str, Any]) -> None:
    """Problems go to terminals, journals and the logs of a CI; numbers and names are shown."""
    assert "gw-secret" not in str(problems(local(**wrong)))
    shown = problems(local(**{f"{ARGS}.engine.max_lora_rank".replace(".", "__"): "high"}))
    assert "high" in str(shown)
