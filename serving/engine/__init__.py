"""One engine replica: vLLM in process, its own HTTP surface behind a secret, and its adapters."""
