"""The import path that a deploy file names: Ray Serve can take what it finds there."""

from __future__ import annotations

import warnings
from pathlib import Path


def test_every_deployment_can_be_sent_to_another_process(tmp_path: Path) -> None:
    """Ray pickles a deployment's class at import, with every global that its methods name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from serving.app import build
    assert build({"state_dir": str(tmp_path)}) is not None
