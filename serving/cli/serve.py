"""`graftwork serve`: bring everything up on this machine, say what is there, take it down again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from serving.cli.banner import banner, has_keys
from serving.cli.output import fail

if TYPE_CHECKING:
    from serving.bringup.system import LocalSystem
    from serving.config.deploy import Deploy

_Say = Callable[[str], None]
BaseName = Literal["embedded", "smollm2"]
_CONFIGS: dict[BaseName, Path] = {
    "embedded": Path("config/local.yaml"),
    "smollm2": Path("config/smollm2.yaml"),
}
_ARGS = "applications.0.args."
_TWICE_S = 1.0
"""Signals that come closer together are one: make passes on what its whole group was sent."""


def serve(
    config: Annotated[
        Path | None, typer.Option(help="deploy file; default: config/local.yaml, or the base's own")
    ] = None,
    base: Annotated[
        BaseName | None, typer.Option(help="a base by its name: embedded, or smollm2")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="base model: a directory or a Hugging Face id")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="address; needs API keys unless loopback")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="port")] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="database, adapters and logs; default: as in the file")
    ] = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="engine replicas")] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="print one line of JSON when it is up; all else to stderr"),
    ] = False,
) -> None:
    """Bring the whole system up on this machine. Ctrl-C drains and stops it."""
    say: _Say = partial(typer.echo, err=as_json)
    if base is not None and model is not None:
        fail("--base and --model are two answers to one question: give one")
    stop = Stop()
    stop.listen()
    started = time.monotonic()
    run_dir = _prepared_run_directory()
    from serving.bringup.preconditions import CannotServe, check
    from serving.bringup.system import Broken

    system: LocalSystem | None = None
    holding = contextlib.ExitStack()
    try:
        overrides = _overrides(model or base, host, port, state_dir)
        deploy = _load(config or _CONFIGS[base or "embedded"], overrides, replicas)
        check(deploy, dict(os.environ))
        for note in deploy.notes:
            say(f"note: {note}")
        deploy = _at_home(deploy, holding, say, named=state_dir is not None)
        _have_base(deploy, say)
        system = _bring_up(deploy, stop, say)
        if not stop.asked.is_set():
            _say_what_is_there(system, deploy, time.monotonic() - started, as_json=as_json)
        while not stop.asked.wait(0.5):
            system.check()
    except (CannotServe, Broken) as error:
        typer.echo(f"graftwork: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        _take_down(system, run_dir, say)
        holding.close()


def _prepared_run_directory() -> Path:
    """Set what Ray reads when it is imported, so before anything else imports it."""
    from serving.bringup.system import make_run_directory, prepare_environment

    try:
        run_dir = make_run_directory()
    except OSError as error:
        fail(f"{error.strerror or error}: set TMPDIR to a directory that has room")
    try:
        prepare_environment(run_dir)
    except (OSError, ValueError) as error:
        shutil.rmtree(run_dir, ignore_errors=True)
        fail(f"{error} (its place is TMPDIR's: {run_dir.parent})")
    return run_dir


class Stop:
    """The signals that ask for an end: the first is waited on, a second one is in a hurry.

    Attributes:
        asked: set by the first.
        hurry: called by the next, once it is known what to hurry.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.asked = threading.Event()
        self.hurry: Callable[[], None] = _nothing
        self._clock = clock
        self._first_s = 0.0

    def listen(self) -> None:
        """From now on; again once Ray has put handlers of its own in place."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.handle)

    def handle(self, *_: object) -> None:
        """A signal."""
        # While Ray starts, its own handler runs first and would abort us three seconds later.
        signal.alarm(0)
        if not self.asked.is_set():
            self._first_s = self._clock()
            self.asked.set()
        elif self._clock() - self._first_s >= _TWICE_S:
            self.hurry()


def _nothing() -> None:
    """There is nothing to hurry yet."""


def _overrides(
    model: str | None, host: str | None, port: int | None, state_dir: Path | None
) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    if model is not None:
        overrides[_ARGS + "base.model"] = model
        if model != "embedded":
            overrides[_ARGS + "seed_adapters"] = None
    if host is not None:
        overrides["http_options.host"] = host
    if port is not None:
        overrides["http_options.port"] = port
    if state_dir is not None:
        overrides[_ARGS + "state_dir"] = str(state_dir)
    return overrides


def _load(config: Path, overrides: dict[str, Any], replicas: int | None) -> Deploy:
    from serving.bringup.preconditions import CannotServe
    from serving.config.deploy import ConfigError, check, load

    try:
        deploy = load(config, overrides)
        raw = deploy.raw
        application = raw["applications"][0]
        # Replicas run elsewhere: relative to where the command was given, not to their own place.
        application["args"]["state_dir"] = str(deploy.settings.state_dir.absolute())
        if replicas is not None:
            for deployment in application["deployments"]:
                if deployment["name"] == "engine":
                    deployment["num_replicas"] = replicas
        return check(raw, str(config))
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        raise CannotServe(f"{config} has {len(error.problems)} problem(s), listed above") from error


def _at_home(deploy: Deploy, holding: contextlib.ExitStack, say: _Say, *, named: bool) -> Deploy:
    """The same, in a state directory that nobody else serves from until ``holding`` is closed.

    Raises ``CannotServe``.
    """
    from serving.bringup.preconditions import CannotServe
    from serving.bringup.tenancy import Occupied, home

    first = deploy.settings.state_dir
    try:
        place = holding.enter_context(home(first, deploy.port, named=named))
    except Occupied as error:
        raise CannotServe(str(error)) from error
    except OSError as error:
        raise CannotServe(
            f"{error.filename or first}: {error.strerror or error}: make room there, or name "
            "another state directory with --state-dir"
        ) from error
    if place == first:
        return deploy
    say(f"another `graftwork serve` uses {first}: this one keeps its state in {place}")
    return _moved(deploy, place)


def _moved(deploy: Deploy, state_dir: Path) -> Deploy:
    """The same with its state there."""
    from serving.config.deploy import check

    deploy.raw["applications"][0]["args"]["state_dir"] = str(state_dir)
    return check(deploy.raw, "the deploy file")


def _have_base(deploy: Deploy, say: _Say) -> None:
    """Fetch what takes long now, while somebody looks on, and not in an engine."""
    from serving.bringup.preconditions import CannotServe
    from serving.config.settings import SMOLLM2
    from serving.engine.model import ModelMissing, prepared

    if deploy.settings.base.model != SMOLLM2:
        return
    try:
        prepared(say)
    except ModelMissing as error:
        raise CannotServe(str(error)) from error


def _bring_up(deploy: Deploy, stop: Stop, say: _Say) -> LocalSystem:
    from serving.bringup.preconditions import CannotServe
    from serving.bringup.system import LocalSystem, StartFailed
    from serving.engine.model import base_id

    logging.getLogger("ray").setLevel(logging.ERROR)
    system = LocalSystem(deploy)
    stop.hurry = system.cut
    try:
        say(f"starting Ray, the router and vLLM with {base_id(deploy.settings.base)} …")
        system.start()
        stop.listen()
        timeout_s = deploy.settings.engine.start_timeout_s
        system.wait(lambda news: say(indent(news, "  ")), timeout_s, stop.asked)
    except StartFailed as error:
        where = system.logs
        system.stop()
        raise CannotServe(f"{error}\nlogs: {where}") from error
    except BaseException:
        system.stop()
        raise
    return system


def _say_what_is_there(
    system: LocalSystem, deploy: Deploy, seconds: float, *, as_json: bool
) -> None:
    models = None
    if not has_keys(deploy):
        # It is up: that it is busy just now is no reason to say otherwise.
        with contextlib.suppress(OSError):
            models = [m["id"] for m in system.get("/v1/models")["data"] if m["kind"] == "adapter"]
    if as_json:
        told = {"url": system.url, "seconds": round(seconds, 1), "adapters": models}
        typer.echo(json.dumps({**told, "logs": system.log_place}))
        return
    typer.echo(f"\nGraftwork is up on {system.url} after {seconds:.0f} s")
    for line in banner(deploy, system.url, models, system.log_place):
        typer.echo(line)


def _take_down(system: LocalSystem | None, run_dir: Path | None, say: _Say) -> None:
    if system is not None:
        say("\nstopping: requests under way may finish; asked again, they may not …")
        system.stop()
        say("stopped.")
    if run_dir is not None:
        shutil.rmtree(run_dir, ignore_errors=True)
