"""A first deploy file, commented, from five answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from string import Template
from typing import Final

from router.config.vendors import known


class Vendor(StrEnum):
    """Whose frontier model answers what the local ones cannot."""

    NONE = "none"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    OTHER = "other"


@dataclass(frozen=True)
class Answers:
    """What somebody wants.

    Attributes:
        model: of the base.
        gpu: whether the engine has one.
        host: where to listen.
        key_hash: of the operator's API key; None: there are no keys, and only loopback is listened
            on.
        vendor: of the frontier.
        model_id: of the frontier's model.
        base_url: of a vendor that is none of those that are known.
        state_dir: database, adapters, logs.
    """

    model: str = "embedded"
    gpu: bool = False
    host: str = "127.0.0.1"
    key_hash: str | None = None
    vendor: Vendor = Vendor.NONE
    model_id: str = ""
    base_url: str = ""
    state_dir: str = ".graftwork"


_FILE: Final = Template("""\
# Written by `graftwork init`. `graftwork check FILE` explains what is wrong with it,
# `graftwork doctor --config FILE` whether this machine will do, `graftwork serve --config FILE`
# runs it.
proxy_location: HeadOnly
http_options:
  host: "$host"$host_note
  port: 8000
  keep_alive_timeout_s: 90
  request_timeout_s: 900     # at least 20 s more than router.limits lets a request take
applications:
  - name: graftwork
    import_path: serving.app:build
    route_prefix: /
    args:
      state_dir: "$state_dir"       # database, adapters, records, logs
      base:
        model: "$model"       # `embedded`, `smollm2`, a directory, or a Hugging Face id
$network$seed      engine:
        max_loras: 4         # adapters in one batch
        max_cpu_loras: 32    # adapters resident at once
        max_lora_rank: 16    # of every slot: not more than your adapters have
        vllm:                # vLLM's own arguments
$vllm
      router:
$auth$providers$frontier        # What may leave for whom, by default: placeholders go to a
        # frontier instead of data of persons,
        # which are put back in the answer; secrets leave for nobody.
        governance:
          pii:
            default: {local: allow, frontier: vault}
$capture    deployments:
      - name: router
        num_replicas: 1
        max_queued_requests: 2048
        graceful_shutdown_timeout_s: 620   # a stop waits so long for requests under way
        ray_actor_options: {num_cpus: 0.1}
      - name: engine
        num_replicas: 1
        graceful_shutdown_timeout_s: 620
        ray_actor_options: {num_cpus: 0.1$gpus}
      - name: registry
        num_replicas: 1
        graceful_shutdown_timeout_s: 10
        ray_actor_options: {num_cpus: 0.1}
""")
_CAPTURE: Final = """\
        # What tenants ask and are answered is kept, redacted, to learn adapters from, once they
        # consent (docs/capture.md): nothing is kept of a tenant that is not named here.
        # capture:
        #   tenants:
        #     default: {consent: true, share: 0.2}   # a fifth, and what a signal speaks for
"""
_CAPTURE_ALONE: Final = """\
        # What you ask and are answered is kept on this machine, redacted, to learn adapters from
        # (docs/capture.md): who starts it without keys on loopback consents. This takes it back:
        # capture:
        #   tenants:
        #     default: {consent: false}
"""
_CPU: Final = """\
          dtype: float32
          max_model_len: 2048
          max_num_seqs: 64
          enforce_eager: true
        env:
          VLLM_CPU_KVCACHE_SPACE: "1"          # GiB
          VLLM_CPU_OMP_THREADS_BIND: nobind
          OMP_NUM_THREADS: "1"
          TORCHDYNAMO_DISABLE: "1"
"""
_GPU: Final = """\
          max_model_len: 32768
          gpu_memory_utilization: 0.9
          enable_auto_tool_choice: true
          tool_call_parser: hermes     # as your model's card says
"""
_VENDORS: Final = {
    Vendor.OPENAI: (
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "chat, responses, tools",
    ),
    Vendor.ANTHROPIC: (
        "anthropic",
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        "messages, tools",
    ),
    Vendor.OTHER: ("openai", "", "FRONTIER_API_KEY", "chat"),
}


def deploy_file(answers: Answers) -> str:
    """The file's content. What of it has to be looked up by a person says so."""
    has_frontier = answers.vendor is not Vendor.NONE
    return _FILE.substitute(
        host=answers.host,
        host_note="" if answers.key_hash else "        # other addresses need API keys",
        state_dir=answers.state_dir,
        model=answers.model,
        network="" if answers.gpu else "      network: {internal_host: 127.0.0.1}\n",
        seed="      seed_adapters: embedded\n" if answers.model == "embedded" else "",
        vllm=(_GPU if answers.gpu else _CPU).rstrip("\n"),
        auth=_auth(answers),
        providers=_providers(answers) if has_frontier else "",
        frontier=_frontier(answers) if has_frontier else "",
        capture=_CAPTURE if answers.key_hash else _CAPTURE_ALONE,
        gpus=", num_gpus: 1" if answers.gpu else "",
    )


def environment_of(vendor: Vendor) -> str:
    """The variable that holds the frontier's key."""
    return _VENDORS[vendor][2]


def _auth(answers: Answers) -> str:
    if answers.key_hash is None:
        return ""
    entry = f"sha256: {answers.key_hash}, scopes: [inference, admin, reviewer, auditor]"
    return (
        "        auth:\n"
        "          keys:       # more of them: `graftwork keys new`\n"
        f"            - {{name: operator, {entry}}}\n"
    )


def _providers(answers: Answers) -> str:
    dialect, url, variable, capabilities = _VENDORS[answers.vendor]
    return (
        "        providers:\n"
        f"          - name: {answers.vendor.value}\n"
        f"            dialect: {dialect}\n"
        f'            base_url: "{answers.base_url or url}"\n'
        f"            api_key_env: {variable}\n"
        "            models:\n"
        f"{_model(answers, url)}"
        f"                capabilities: [{capabilities}]\n"
    )


def _model(answers: Answers, url: str) -> str:
    vendor = known().at(answers.base_url or url)
    if vendor is not None and vendor.prices is not None and answers.model_id in vendor.models:
        return (
            f"              # Priced as {vendor.prices.page} said on {vendor.prices.read};\n"
            "              # input_usd_per_mtok and output_usd_per_mtok, if given, count more.\n"
            f'              - id: "{answers.model_id}"\n'
        )
    return (
        "              # USD per million tokens: look them up, budgets and choices go by them.\n"
        f'              - id: "{answers.model_id}"\n'
        "                input_usd_per_mtok: 1.0\n"
        "                output_usd_per_mtok: 5.0\n"
    )


def _frontier(answers: Answers) -> str:
    name = f"{answers.vendor.value}/{answers.model_id}"
    return f'        auto:\n          frontier: "{name}"    # answers when nothing local can\n'
