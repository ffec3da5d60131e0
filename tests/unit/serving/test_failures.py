"""Why a replica does not start: one look has to be enough."""

from __future__ import annotations

from dataclasses import dataclass

from serving.bringup.failures import news, plain, reason

ENGINE = """A replica failed to start with exception. Retrying {left} more time(s). Error:
\x1b[36mray::ServeReplica:graftwork:engine.initialize()\x1b[39m (pid={pid}, ip=127.0.0.1)
  File "/usr/lib/python3.11/concurrent/futures/_base.py", line 456, in result
    return self.__get_result()
           ^^^^^^^^^^^^^^^^^^^
RuntimeError: Traceback (most recent call last):
  File "/srv/ray/serve/_private/replica.py", line 1867, in initialize
    await self._user_callable_wrapper.initialize_callable()
  File "/srv/vllm/engine/arg_utils.py", line 1955, in create_model_config
    return ModelConfig(
           ^^^^^^^^^^^^
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
dtype.literal['auto','half']
  Input should be 'auto' or 'half' [type=literal_error, input_value='nonsense', input_type=str]

"""
RAISED = """pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
dtype.literal['auto','half']
  Input should be 'auto' or 'half' [type=literal_error, input_value='nonsense', input_type=str]"""
DIED = """The deployment failed to start 3 times in a row. See controller logs for details. Error:
The actor died unexpectedly before finishing this task.
Worker exit type: SYSTEM_ERROR Worker exit detail: the OOM killer."""
SLOW = """Deployment 'engine' in application 'graftwork' has 1 replicas that have taken more than
30s to initialize.
This may be caused by a slow __init__ or reconfigure method."""


@dataclass(frozen=True)
class Deployment:
    """One row of `serve.status()`."""

    status: str
    message: str = ""


def test_an_engine_that_crashes_is_told_at_its_first_crash_with_its_own_error() -> None:
    """Not after Ray's last attempt, and not as silence behind "registry is up, router is up"."""
    rows = {
        "registry": Deployment("HEALTHY"),
        "router": Deployment("UPDATING", SLOW),
        "engine": Deployment("UPDATING", ENGINE.format(left=2, pid=1)),
    }
    told = list(news(rows))
    assert told[0] == "registry is up"
    assert told[1] == f"engine does not start; it is tried again: {RAISED}"
    assert len(told) == 2
    rows["engine"] = Deployment("UPDATING", ENGINE.format(left=1, pid=2))
    assert list(news(rows)) == told


def test_the_last_exception_is_the_reason_and_the_same_for_each_attempt() -> None:
    """No traceback, no colours, no process numbers: what is said once need not be said again."""
    attempts = {reason(ENGINE.format(left=left, pid=14000 + left)) for left in (1, 2)}
    assert attempts == {RAISED}


def test_a_process_that_died_is_told_in_rays_words() -> None:
    """There is no traceback of a killed process."""
    assert reason(DIED).startswith("The actor died unexpectedly")
    assert "OOM killer" in reason(DIED)


def test_slowness_is_no_failure() -> None:
    """Large models take minutes; Ray Serve says so after half of one."""
    assert reason(SLOW) == ""
    assert reason("") == ""


def test_a_failure_without_details_is_told_as_it_is() -> None:
    """Better the bare message than silence."""
    assert reason("A replica failed to start.") == "A replica failed to start."


def test_plain_text_has_no_colours() -> None:
    """It ends up in files and in one line of a terminal."""
    assert plain("\x1b[36mray::X\x1b[39m died\n") == "ray::X died"
