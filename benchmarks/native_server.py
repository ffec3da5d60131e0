"""vLLM's own OpenAI server with the engine arguments of a deploy file: the peer to measure."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from serving.config.deploy import load
from serving.engine.model import base_id, model_directory
from serving.engine.vllm import arguments


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("config/local.yaml"))
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    settings = load(given.config).settings
    os.environ.update(settings.engine.env)

    import uvloop
    from vllm.entrypoints.launchers.api_server.entry import run_server
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    model = str(model_directory(settings.base))
    ours = vars(arguments(settings.engine, base_id(settings.base), model))
    args = make_arg_parser(FlexibleArgumentParser()).parse_args([])
    vars(args).update(ours, host="127.0.0.1", port=given.port)
    uvloop.run(run_server(args))


if __name__ == "__main__":
    main()
