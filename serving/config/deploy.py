"""The deploy file: what ``graftwork serve``, ``serve deploy`` and a RayService all read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from adapters.registry.database import SHARED_REMEDY
from adapters.registry.storage import shared_file_system
from router.admit.keys import load_keys
from router.admit.tokens import AccessTokens
from serving.config.parallel import parallel_problems
from serving.config.reading import NotYaml, read_yaml
from serving.config.settings import Settings
from serving.names import APPLICATION, ENGINE, REGISTRY, ROUTER

IMPORT_PATH = "serving.app:build"
_DEPLOYMENTS = frozenset({ENGINE, ROUTER, REGISTRY})
_RAYS_DRAIN_S = 20.0
"""Where a deployment does not say."""
STATE_DIR = "applications.0.args.state_dir"
_DATABASE = "applications.0.args.adapters.database_url"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_NO_FILE = ": name one with --config, or write one: `graftwork init FILE`"
_NO_MAPPING = "must be a mapping, as `graftwork init FILE` writes one"
_UNSAID = frozenset({"missing", "value_error", "extra_forbidden"})
"""Errors that do not need what was given; under an unknown name it may be a key."""
_SECRET = re.compile("key|secret|token|password|sha256|credential|url")
"""Fields in whose place somebody may have put a secret: what was given is not for a journal."""
# Ray Serve passes these through without a schema of their own.
_OPAQUE = frozenset(
    {
        "args",
        "controller_options",
        "logging_config",
        "placement_group_bundles",
        "policy",
        "ray_actor_options",
        "request_router_config",
        "runtime_env",
        "tracing_config",
        "user_config",
    }
)


class ConfigError(Exception):
    """The file is wrong. ``problems``: one line each, with the field's name."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(f"{source}: " + "; ".join(problems))


@dataclass(frozen=True)
class Deploy:
    """A valid deploy file."""

    raw: dict[str, Any]
    """As Ray Serve takes it."""
    settings: Settings

    @property
    def host(self) -> str:
        """Address that HAProxy listens on."""
        return str(self.raw.get("http_options", {}).get("host", "127.0.0.1"))

    @property
    def port(self) -> int:
        """Port that HAProxy listens on."""
        return int(self.raw.get("http_options", {}).get("port", 8000))

    @property
    def drain_s(self) -> float:
        """How long a stop waits for requests under way: as the most patient deployment says."""
        deployments = self.raw["applications"][0].get("deployments") or []
        said = (each.get("graceful_shutdown_timeout_s") for each in deployments)
        return max((float(each) for each in said if each is not None), default=_RAYS_DRAIN_S)

    @property
    def notes(self) -> list[str]:
        """What works and may surprise, one line each."""
        found = []
        if self.raw.get("proxy_location") == "EveryNode" and sqlite_file(self.settings) is not None:
            found.append(
                f"{_DATABASE}: SQLite serves one machine: a registry that is restarted on another "
                "finds an empty database; for several nodes use postgresql+psycopg://…"
            )
        if unknown := self.settings.router.governance.pii.never_found:
            found.append(
                f"router.governance.pii.rules: nobody looks for {', '.join(unknown)}, so rules "
                "about it do nothing; kinds of data are listed in docs/governance.md, and "
                "pii.patterns adds some"
            )
        return found

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return self.host in _LOOPBACK


def load(path: Path, overrides: dict[str, Any] | None = None) -> Deploy:
    """Read and check a file. ``overrides``: dotted fields set over it. Raises ``ConfigError``."""
    try:
        raw = read_yaml(path)
    except OSError as error:
        remedy = _NO_FILE if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}{remedy}"]) from error
    except NotYaml as error:
        raise ConfigError(str(path), [str(error)]) from error
    if not isinstance(raw, dict):
        raise ConfigError(str(path), [_NO_MAPPING])
    for field, value in (overrides or {}).items():
        try:
            _set(raw, field, value)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ConfigError(str(path), [f"{field}: there is no place for it"]) from error
    return check(raw, str(path))


def check(raw: Any, source: str) -> Deploy:
    """Validate a deploy file's content. Raises ``ConfigError`` with every problem."""
    if not isinstance(raw, dict):
        raise ConfigError(source, [_NO_MAPPING])
    problems = _schema_problems(raw) + _unknown_keys(ServeDeploySchema, raw, "")
    application = _application(raw, problems)
    settings = _settings(application.get("args") or {}, problems)
    problems += _deployment_problems(application)
    if settings is not None:
        problems += _security_problems(raw, settings) + _storage_problems(settings)
        problems += parallel_problems(application, settings)
    if problems or settings is None:
        raise ConfigError(source, problems)
    return Deploy(raw, settings)


def _schema_problems(raw: dict[str, Any]) -> list[str]:
    try:
        ServeDeploySchema.model_validate(raw)
    except ValidationError as error:
        return _explain(error, "")
    except Exception as error:  # noqa: BLE001 - it trips over odd shapes, and imports what is named
        return [f"file: Ray Serve cannot read it: {error}"]
    return []


def _settings(args: Any, problems: list[str]) -> Settings | None:
    try:
        return Settings.model_validate(args)
    except ValidationError as error:
        problems += _explain(error, "applications.0.args.")
        return None


def _explain(error: ValidationError, prefix: str) -> list[str]:
    lines = []
    for each in error.errors(include_url=False, include_context=False):
        field = prefix + ".".join(str(part) for part in each["loc"])
        may_be_secret = isinstance(each["input"], str) and _SECRET.search(field.lower())
        given = "" if each["type"] in _UNSAID or may_be_secret else f" (got {each['input']!r:.80})"
        lines.append(f"{field.rstrip('.') or 'file'}: {each['msg']}{given}")
    return lines


def _unknown_keys(model: type[BaseModel], data: Any, prefix: str) -> list[str]:
    """Keys that Ray Serve's schema would drop without a word."""
    if not isinstance(data, dict):
        return []
    known = dict(model.model_fields)
    known |= {f.alias: f for f in model.model_fields.values() if f.alias}
    problems = []
    for key, value in data.items():
        if key not in known:
            problems.append(f"{prefix}{key}: unknown field; known: {', '.join(sorted(known))}")
        elif key not in _OPAQUE:
            problems += _nested(known[key].annotation, value, f"{prefix}{key}")
    return problems


def _nested(annotation: Any, value: Any, field: str) -> list[str]:
    models = [a for a in _types(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
    if not models:
        return []
    if isinstance(value, list):
        return [
            problem
            for index, item in enumerate(value)
            for problem in _unknown_keys(models[0], item, f"{field}.{index}.")
        ]
    return _unknown_keys(models[0], value, f"{field}.")


def _types(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    return [t for each in inner for t in _types(each)] if inner else [annotation]


def _application(raw: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    applications = raw.get("applications")
    if not isinstance(applications, list) or len(applications) != 1:
        problems.append("applications: there must be exactly one")
        return {}
    application = applications[0]
    if not isinstance(application, dict):
        return {}
    if application.get("name") != APPLICATION:
        problems.append(f"applications.0.name: must be {APPLICATION!r}")
    if application.get("import_path") != IMPORT_PATH:
        problems.append(f"applications.0.import_path: must be {IMPORT_PATH!r}")
    return application


def _deployment_problems(application: dict[str, Any]) -> list[str]:
    problems = []
    deployments = application.get("deployments") or []
    if not isinstance(deployments, list):
        return []  # Ray Serve's schema says so
    for index, deployment in enumerate(deployments):
        field = f"applications.0.deployments.{index}"
        name = deployment.get("name") if isinstance(deployment, dict) else None
        if not isinstance(name, str) or name not in _DEPLOYMENTS:
            problems.append(f"{field}.name: must be one of {sorted(_DEPLOYMENTS)}, got {name!r}")
        elif name == REGISTRY and deployment.get("num_replicas", 1) != 1:
            problems.append(f"{field}.num_replicas: the registry is the single writer: exactly 1")
    return problems


def _security_problems(raw: dict[str, Any], settings: Settings) -> list[str]:
    """Law 11: without keys it listens on loopback only."""
    options = raw.get("http_options")
    host = options.get("host") if isinstance(options, dict) else None
    if host is None:
        # Ray Serve's own default is all interfaces once HAProxy is switched on.
        return ["http_options.host: must be given; 127.0.0.1 is reached from this machine only"]
    if not isinstance(host, str):
        return []  # Ray Serve's schema says so
    auth = "applications.0.args.router.auth"
    try:
        keys = load_keys(settings.router.auth)
    except (OSError, ValueError) as error:
        return [f"{auth}.keys_file: {error}"]
    try:
        tokens = AccessTokens(settings.router.auth.tokens)
    except (OSError, ValueError) as error:
        return [f"{auth}.tokens: {error}"]
    if host not in _LOOPBACK and not keys and not tokens:
        return [
            f"http_options.host: refuses to listen on {host} without API keys; add {auth}.keys "
            "(make one with `graftwork keys new`) or use 127.0.0.1"
        ]
    return []


def sqlite_file(settings: Settings) -> Path | None:
    """The registry's database when it is a file; None for a server."""
    url = settings.adapters_here().database_url or ""
    prefix = "sqlite:///"
    return Path(url.removeprefix(prefix)) if url.startswith(prefix) else None


def _storage_problems(settings: Settings) -> list[str]:
    file = sqlite_file(settings)
    kind = shared_file_system(file) if file is not None else None
    if kind is None:
        return []
    return [f"{_DATABASE}: SQLite on {kind} is damaged by two machines. {SHARED_REMEDY}"]


def _set(raw: dict[str, Any], field: str, value: Any) -> None:
    *parents, last = field.split(".")
    here: Any = raw
    for name in parents:
        here = here[int(name)] if isinstance(here, list) else here.setdefault(name, {})
    here[last] = value
