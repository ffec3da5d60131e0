"""What can answer a request: the local engine's replicas, and frontier providers."""
