"""Processes and wiring: Ray Serve deployments, vLLM, configuration, command line."""
