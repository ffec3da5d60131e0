"""Benchmarks: commands that print figures, never assertions. `make bench` runs the first."""
