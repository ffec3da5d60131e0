"""Where the router lets Ray Serve put it (law 11), and whose deadline comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config.auth import ApiKey, AuthConfig
from serving.config.settings import Settings
from serving.router.hosting import OpenToOthers, ending_first, refuse_open

KEY = ApiKey(name="app", sha256="0" * 64)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.com", "", None])
def test_without_keys_nothing_is_served_to_others(host: str | None) -> None:
    """The router process itself refuses, so that `serve deploy` and a RayService do not open it."""
    with pytest.raises(OpenToOthers, match="graftwork keys new"):
        refuse_open(host, AuthConfig())
    refuse_open(host, AuthConfig(keys=(KEY,)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_it_runs_without_keys(host: str) -> None:
    """A machine of one's own needs none."""
    refuse_open(host, AuthConfig())


def test_a_keys_file_without_keys_stops_it_everywhere(tmp_path: Path) -> None:
    """Beyond loopback a file that holds no key is an error, and not the wish to have none."""
    (tmp_path / "keys.yaml").write_text("[]")
    with pytest.raises(ValueError, match="holds no key"):
        refuse_open("0.0.0.0", AuthConfig(keys_file=tmp_path / "keys.yaml"))


@pytest.mark.parametrize(
    ("ours", "ray", "expected"),
    [
        (600, 900, 600),
        (600, 620, 600),
        (600, 600, 580),
        (600, 60, 40),
        (600, 10, 5),
        (600, None, 600),
    ],
)
def test_our_own_deadline_comes_before_rays(
    ours: float, ray: float | None, expected: float
) -> None:
    """Ray cuts without an error event and records it as the client's: ours ends 20 s earlier."""
    settings = Settings.model_validate({"router": {"limits": {"request_timeout_s": ours}}})
    assert ending_first(settings, ray).router.limits.request_timeout_s == expected
