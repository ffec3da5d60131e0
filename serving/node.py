"""Facts about the process that this code runs in, as Ray knows them."""

from __future__ import annotations

import os
from typing import Any

import ray
from ray import serve
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

from serving.config.settings import Settings


def internal_host(settings: Settings) -> str:
    """Address that internal surfaces bind and advertise."""
    return settings.network.internal_host or ray.util.get_node_ip_address()


async def http_options() -> Any:
    """Where Ray Serve listens, and how long a request may take there."""
    controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    return await controller.get_http_config.remote()


def replica_id() -> str:
    """Identity of this Ray Serve replica, unique over restarts."""
    context = serve.get_replica_context()
    return f"{context.deployment}-{context.replica_id.unique_id}"


def secure_inherited_environment() -> None:
    """Close what vLLM would open for anybody who sets a variable."""
    os.environ.pop("VLLM_ALLOW_RUNTIME_LORA_UPDATING", None)
    os.environ.pop("VLLM_SERVER_DEV_MODE", None)
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
