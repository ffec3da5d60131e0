"""The modules that import Ray's schemas, imported without the warnings that these give.

Ray declares its models in a way that pydantic deprecates; our tests turn warnings into errors.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray.serve.schema import ServeDeploySchema

    from serving.bringup import preconditions
    from serving.config import deploy

__all__ = ["ServeDeploySchema", "deploy", "preconditions"]
