"""Solvers that learn from examples, and know neither texts nor answers."""
