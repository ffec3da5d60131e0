"""Which turns a base's chat template takes, found by trying it.

A template says nowhere what it takes: some raise at a system message, or when a role speaks twice;
others leave out what they do not know. So each case is rendered once, as the engine will.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from adapters.aliases import Roles
from adapters.errors import BaseModelError
from adapters.format.files import parse_json_object, read_bounded

_FILE = "chat_template.jinja"
_CONFIG = "tokenizer_config.json"
_MAX_BYTES = 4 << 20
_SYSTEM = {"role": "system", "content": "marked-system"}
_USER = {"role": "user", "content": "marked-user"}
_AGAIN = {"role": "user", "content": "marked-again"}
_ASSISTANT = {"role": "assistant", "content": "marked-assistant"}
_Render = Callable[[list[dict[str, str]]], str]


def roles_of(model_dir: Path) -> Roles:
    """What the template of the model in this folder takes.

    Where there is none, or none that can be tried, everything counts as taken: the engine decides.
    """
    try:
        text, settings = _template(model_dir)
        if text is None:
            return Roles()
        render = _renderer(text, settings)
        if not _says(render, [_USER]):
            return Roles()
    except (OSError, ValueError, BaseModelError, TemplateError):
        return Roles()
    alternates = not _says(render, [_USER, _AGAIN]) or not _says(render, [_ASSISTANT, _USER])
    system = _says(render, [_SYSTEM, _USER])
    # As vLLM decides it: a template that writes any role out has learned no other word for that.
    return Roles(system=system, developer="developer" in text, alternates=alternates)


def _says(render: _Render, messages: list[dict[str, str]]) -> bool:
    """Whether all of it is in the prompt."""
    try:
        prompt = render(messages)
    except Exception:  # noqa: BLE001 - a template is a program; whatever it raises, it refuses
        return False
    return all(message["content"] in prompt for message in messages)


def _template(model_dir: Path) -> tuple[str | None, dict[str, Any]]:
    """Its text, and the tokenizer's settings."""
    file, config = model_dir / _FILE, model_dir / _CONFIG
    settings = _settings(config)
    text = settings.get("chat_template")
    if file.is_file():
        text = read_bounded(file, _MAX_BYTES, follow_links=True).decode()
    if isinstance(text, list):  # several by name
        named = {each.get("name"): each.get("template") for each in text if isinstance(each, dict)}
        text = named.get("default")
    return text if isinstance(text, str) else None, settings


def _renderer(text: str, settings: dict[str, Any]) -> _Render:
    template = _environment().from_string(text)
    tokens = {name: _token(settings.get(name)) for name in ("bos_token", "eos_token")}

    def render(messages: list[dict[str, str]]) -> str:
        return template.render(messages=messages, tools=None, add_generation_prompt=True, **tokens)

    return render


def _settings(config: Path) -> dict[str, Any]:
    if not config.is_file():
        return {}
    return parse_json_object(read_bounded(config, _MAX_BYTES, follow_links=True))


def _token(value: Any) -> str:
    """Written as text, or as an object with its text in it."""
    return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")


def _environment() -> ImmutableSandboxedEnvironment:
    """As transformers has it."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda _: "1 Jan 2026"
    return environment


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
