"""A local Ray with the application on it: up, waited for, and down without leftovers."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.bringup.edge import haproxy_environment
from serving.bringup.failures import news, plain
from serving.bringup.leftovers import adopt_orphans, end_descendants
from serving.names import APPLICATION

if TYPE_CHECKING:
    # It imports Ray, which must not happen before ``prepare_environment``.
    from serving.config.deploy import Deploy

Say = Callable[[str], None]
_log = logging.getLogger(__name__)
_POLL_S = 0.25
_LOGICAL_CPUS = 64
_SERVE_STOPS_S = 30.0
_GRACE_S = 5.0
_HARD_STOP = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"
_AFTER_DRAIN_S = 10.0
"""What comes after the replicas waits so much longer than they do, before it cuts."""


class StartFailed(Exception):
    """The system did not come up; the message has the reason."""


class Broken(Exception):
    """Ray itself has ended under a running system."""


def prepare_environment(run_dir: Path) -> None:
    """Set what Ray reads at import; call before the first ``import ray`` of the process."""
    os.environ.update(haproxy_environment(run_dir))
    defaults = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        # Ray would run engines and routers at nice 15, behind everything else on the machine.
        "RAY_worker_niceness": "0",
        "RAY_enable_metrics_collection": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # A replica that is killed must not leave its engine processes behind.
        "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def environment_of(deploy: Deploy) -> dict[str, str]:
    """What Ray's processes have to know of a deploy file, beside ``prepare_environment``.

    HAProxy must not cut what the replicas still wait for. What they write to standard error is to
    come out of ours, and not into files of Ray's.
    """
    found = {_HARD_STOP: f"{math.ceil(deploy.drain_s + _AFTER_DRAIN_S)}"}
    if deploy.settings.log.destination == "stderr":
        found |= {"RAY_LOG_TO_STDERR": "1", "RAY_BACKEND_LOG_LEVEL": "warning"}
    return found


class LocalSystem:
    """Ray, HAProxy and the deployments of one ``graftwork serve``."""

    def __init__(self, deploy: Deploy) -> None:
        self._deploy = deploy
        host = f"[{deploy.host}]" if ":" in deploy.host else deploy.host
        self._url = f"http://{host}:{deploy.port}"
        self._cut = threading.Event()

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return self._url

    def start(self) -> None:
        """Start Ray and hand it the application; returns before that is up. Raises ``StartFailed``.

        A busy machine can be too slow for Ray's own deadlines: what failed is tried once more.
        """
        for name, value in environment_of(self._deploy).items():
            os.environ.setdefault(name, value)
        adopt_orphans()
        try:
            self._start_once()
        except Exception as first:  # noqa: BLE001 - Ray raises `Exception` itself, among others
            _log.warning("%s; trying once more", _of_ray(first))
            _clear()
            try:
                self._start_once()
            except Exception as error:
                raise StartFailed(_of_ray(error)) from error

    def _start_once(self) -> None:
        import ray
        from ray import serve
        from ray.serve._private.api import _get_global_client
        from ray.serve.schema import ServeDeploySchema

        # Importing it made it talkative.
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        with _stop_signals_are_ours():
            ray.init(
                address="local",
                num_cpus=_LOGICAL_CPUS,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=True,
                _node_ip_address="127.0.0.1",
            )
        schema = ServeDeploySchema.model_validate(self._deploy.raw)
        serve.start(
            proxy_location=schema.proxy_location,
            http_options=schema.http_options.model_dump(),
            logging_config={"log_level": "WARNING"},
        )
        _get_global_client().deploy_apps(schema)

    def wait(self, say: Say, timeout_s: float, stop: threading.Event) -> None:
        """Wait until every deployment runs and the router says ready, or ``stop`` is set.

        Raises ``StartFailed``.
        """
        deadline = time.monotonic() + timeout_s
        shown: set[str] = set()
        while time.monotonic() < deadline:
            application = _application()
            if application is not None:
                for line in news(application.deployments):
                    if line not in shown:
                        shown.add(line)
                        say(line)
                if application.status == "DEPLOY_FAILED":
                    raise StartFailed(_reason(application))
                if application.status == "RUNNING" and self._is_ready():
                    return
            if stop.wait(_POLL_S):
                return
        raise StartFailed(f"not up after {timeout_s:.0f} s")

    def _is_ready(self) -> bool:
        try:
            self.get("/readyz")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def get(self, path: str, timeout_s: float = 5.0) -> Any:
        """GET a JSON document of the running system."""
        with urllib.request.urlopen(self._url + path, timeout=timeout_s) as response:  # noqa: S310
            return json.load(response)

    @property
    def log_place(self) -> str:
        """Where the processes write their logs."""
        settings = self._deploy.settings
        if settings.log.destination == "stderr":
            return "standard error"
        return str(settings.log.directory or settings.state_dir / "logs")

    @property
    def logs(self) -> str:
        """Where to look: Graftwork's logs, and Ray's with what replicas printed."""
        node = _ray_node()
        rays = f" and {node.get_logs_dir_path()}" if node is not None else ""
        return f"{self.log_place}{rays}"

    def check(self) -> None:
        """Raises ``Broken`` when a process without which nothing works has ended."""
        node = _ray_node()
        dead = {kind for kind, _ in node.dead_processes()} if node is not None else set()
        if vital := sorted(dead & {"gcs_server", "raylet"}):
            raise Broken(f"Ray's {' and '.join(vital)} ended; logs: {self.logs}")

    def cut(self) -> None:
        """Have ``stop`` wait for no request any more; may be called from a signal's handler."""
        self._cut.set()

    def stop(self) -> None:
        """Drain and stop everything that ``start`` started; idempotent, and bounded in time.

        Requests under way have as long as the deployments' ``graceful_shutdown_timeout_s`` says.
        """
        import ray

        grace_s = 0.0
        # Where Ray has ended nobody is there to be asked, and it would wait for a minute.
        if ray.is_initialized() and self._is_taken_down():
            ray.shutdown()
            grace_s = 0.0 if self._cut.is_set() else _GRACE_S
        end_descendants(grace_s)

    def _is_taken_down(self) -> bool:
        """True after everything was taken down in order, or ``cut``; False when Ray has ended."""
        draining = threading.Thread(target=self._drain, name="drain", daemon=True)
        try:
            self.check()
            draining.start()
            while draining.is_alive() and not self._cut.is_set():
                draining.join(_POLL_S)
                self.check()
        except Broken:
            return False
        return True

    def _drain(self) -> None:
        """Take the application down, then Ray Serve."""
        import ray
        from ray import serve
        from ray.serve._private.api import _get_global_client
        from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
        from ray.serve.exceptions import RayServeException

        try:
            controller = _get_global_client()._controller  # noqa: SLF001 - no other way to it
        except RayServeException:  # it was not started yet
            return
        # First, and while HAProxy is still there: its shutdown cuts answers under way. Blocking, it
        # would wait for a minute, however long a drain may take.
        serve.delete(APPLICATION, _blocking=False)
        self._wait_until_deleted()
        # Not `serve.shutdown`: it asks the controller something that its end leaves unanswered,
        # which Ray reports as a failure.
        ray.get(controller.graceful_shutdown.remote(wait=False))
        deadline = time.monotonic() + _SERVE_STOPS_S
        while time.monotonic() < deadline:
            try:
                ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
            except ValueError:
                return
            time.sleep(_POLL_S)

    def _wait_until_deleted(self) -> None:
        """Or until no replica may take longer."""
        deadline = time.monotonic() + self._deploy.drain_s + _AFTER_DRAIN_S
        while time.monotonic() < deadline:
            if _is_deleted():
                return
            time.sleep(_POLL_S)


def _is_deleted() -> bool:
    from ray import serve
    from ray.exceptions import RayError

    try:
        return APPLICATION not in serve.status().applications
    except (RayError, TimeoutError):
        return False


def _application() -> Any:
    """The state of ours; None while Ray Serve knows of none, or is too busy to say."""
    from ray import serve
    from ray.exceptions import RayError

    try:
        return serve.status().applications.get(APPLICATION)
    except (RayError, TimeoutError) as error:
        _log.info("Ray Serve does not say how the start goes: %s", error)
        return None


def _clear() -> None:
    """Nothing is left of a start that failed."""
    import ray

    with contextlib.suppress(Exception):
        ray.shutdown()
    end_descendants(0.0)


def _of_ray(error: Exception) -> str:
    """One line of what Ray raised, which has whole logs in it at times, and what may help."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return (
        f"Ray did not start ({type(error).__name__}: {said}): `graftwork doctor` says whether"
        " this machine will do; RAY_TMPDIR is where Ray writes (default: /tmp/ray)"
    )


def _ray_node() -> Any:
    """Ray's processes on this machine; None before they are started."""
    import ray

    return ray._private.worker._global_node  # noqa: SLF001 - it has no other name


@contextlib.contextmanager
def _stop_signals_are_ours() -> Iterator[None]:
    """Processes that are started meanwhile do not hear the signals that ask to stop.

    systemd sends SIGTERM to every process of a service, a terminal SIGINT to every process of its
    foreground group: Ray's would die at once, and with them the requests that we let finish.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reason(application: Any) -> str:
    messages = [application.message or ""]
    messages += [d.message or "" for d in application.deployments.values() if d.status != "HEALTHY"]
    return plain("\n".join(filter(None, messages))) or "the deployment failed"


def make_run_directory() -> Path:
    """A private directory for sockets and generated files; short, for Unix socket paths."""
    return Path(tempfile.mkdtemp(prefix="gw-"))
