"""Modules of the vLLM that is installed, to compare with; the tests that need one skip without."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import pytest


def installed(name: str) -> Any:
    """The module ``vllm.entrypoints.<name>``; importing it leaves the process as it was.

    vLLM sets variables, and setuptools, which it imports, adds packages of its own to the path.
    """
    before, path = dict(os.environ), list(sys.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that vLLM imports
            return pytest.importorskip(f"vllm.entrypoints.{name}")
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(before)
